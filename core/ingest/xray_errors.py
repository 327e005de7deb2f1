"""What boto3 raises, as one sentence that names the IAM action or the setting to change, and no credentials.

Of what AWS wrote, only its complaint about the request itself is repeated: other messages hold account ids, user names
and, for a wrong signature, the signed headers.
"""

import re

import botocore.session
from botocore import exceptions as boto

from core.errors import SourceUnavailable
from core.settings import Settings

__all__ = ["Denied", "Throttled", "TokenRefused", "explained"]

_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_UNKNOWN_KEYS = {
    "AuthFailure",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorizedException",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "SubscriptionRequiredException",
    "UnrecognizedClientException",
}
_THROTTLED = {"ThrottledException", "ThrottlingException", "Throttling", "TooManyRequestsException"}
_HOW_TO_GIVE = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"
_LOGIN_ERRORS = (boto.SSOError, boto.LoginError, boto.TokenRetrievalError, boto.NoAuthTokenError)
_CONNECTION_ERRORS = (boto.HTTPClientError, boto.ConnectionError)  # the second is botocore's own


class Denied(SourceUnavailable):
    """The credentials are known, but not allowed to do this."""


class Throttled(SourceUnavailable):
    """X-Ray asked for fewer calls, and still did after boto3 had waited and tried again."""


class TokenRefused(SourceUnavailable):
    """X-Ray does not take the token of a next page: the pages have to be read from the first one on."""


def explained(error: Exception, operation: str, region: str, settings: Settings, *, paging: bool) -> SourceUnavailable:
    """`error`, raised by boto3 in `operation` (`GetTraceSummaries`), in one sentence; `paging`: a token was sent."""
    if isinstance(error, boto.ClientError):
        return _answered(error, operation, region, settings, paging=paging)
    return SourceUnavailable(_not_answered(error, operation, region, settings))


def _answered(
    error: boto.ClientError, operation: str, region: str, settings: Settings, *, paging: bool
) -> SourceUnavailable:
    code = str(error.response.get("Error", {}).get("Code", "")).rpartition("#")[2]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _THROTTLED or status == 429:
        return Throttled(f"X-Ray in {region} takes fewer calls than Tracecast needs, even one at a time: start again.")
    if code in _DENIED:
        if error.operation_name != operation:  # on the way to the credentials
            return SourceUnavailable(
                f"AWS denied {error.operation_name}: allow the IAM action sts:{error.operation_name}."
            )
        return Denied(f"AWS denied {operation}: allow the IAM action xray:{operation} in {region}.")
    if code in _EXPIRED:
        return SourceUnavailable("The AWS session has expired: renew the credentials, then start again.")
    if code in _UNKNOWN_KEYS:
        return SourceUnavailable(
            f"AWS does not accept these credentials in {region}: {_HOW_TO_GIVE}; "
            "check too that the region is enabled for the account and that this machine's clock is right."
        )
    if code == "InvalidRequestException":
        if paging:
            return TokenRefused(f"X-Ray in {region} refused the token of a next page again and again: start again.")
        complaint = _one_line(str(error.response["Error"].get("Message", "")))
        if settings.xray_filter and operation == "GetTraceSummaries":
            return SourceUnavailable(f"X-Ray refused the request, perhaps for TRACECAST_XRAY_FILTER: {complaint}")
        return SourceUnavailable(f"X-Ray refused {operation}: {complaint}")
    return SourceUnavailable(f"X-Ray in {region} answered {operation} with {_name(code) or status}: try again later.")


def _not_answered(error: Exception, operation: str, region: str, settings: Settings) -> str:
    if isinstance(error, boto.ProfileNotFound):
        return "The profile in AWS_PROFILE is not in the AWS configuration of this machine: correct it."
    if isinstance(error, boto.PartialCredentialsError):
        return f"The AWS credentials are incomplete: {_HOW_TO_GIVE}."
    if isinstance(error, boto.NoCredentialsError):
        return f"No AWS credentials were found: {_HOW_TO_GIVE}."
    if isinstance(error, _LOGIN_ERRORS):
        return "The AWS login has expired or is missing: log in (aws sso login), then start again."
    if isinstance(error, boto.CredentialRetrievalError | boto.MetadataRetrievalError):
        return "The source of AWS credentials that is configured here did not give any: check AWS_PROFILE."
    if isinstance(error, boto.ConfigParseError):
        return "The AWS configuration file of this machine can't be read: correct it."
    if isinstance(error, boto.InvalidRegionError) or (_is_unreachable(error) and not settings.xray_endpoint):
        if region not in _known_regions():
            return f"{region} is no region that has X-Ray: correct TRACECAST_AWS_REGION."
        return f"X-Ray in {region} can't be reached: check the network, and the proxy if there is one."
    if _is_unreachable(error):
        return f"Nothing answers at {settings.xray_endpoint}: correct TRACECAST_XRAY_ENDPOINT."
    if isinstance(error, boto.SSLError):
        return f"X-Ray in {region} has no certificate that is trusted here: check the proxy, or set AWS_CA_BUNDLE."
    if isinstance(error, _CONNECTION_ERRORS):
        return f"X-Ray in {region} broke off its answer to {operation}, several times: try again later."
    return f"{operation} failed inside boto3 with {type(error).__name__}."


def _is_unreachable(error: Exception) -> bool:
    unreachable = (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError)
    return isinstance(error, unreachable)


def _known_regions() -> set[str]:
    session = botocore.session.get_session()
    partitions = session.get_available_partitions()
    return {region for name in partitions for region in session.get_available_regions("xray", partition_name=name)}


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:199]}…"


def _name(code: str) -> str:
    return code if re.fullmatch(r"[A-Za-z0-9.]{1,60}", code) else ""
