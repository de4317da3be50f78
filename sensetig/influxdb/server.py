"""The calls that setting up makes to an InfluxDB, through influxdb-client; every failure becomes a SetupError."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, TypeVar

import influxdb_client
import urllib3
from influxdb_client.rest import ApiException
from influxdb_client.service.authorizations_service import AuthorizationsService
from influxdb_client.service.dbr_ps_service import DBRPsService
from influxdb_client.service.setup_service import SetupService
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.util.url import parse_url

from sensetig.influxdb.definitions import Bucket, Mapping, Task
from sensetig.influxdb.errors import SetupError
from sensetig.influxdb.stored import Permission, StoredBucket, StoredMapping, StoredTask, StoredToken

# influxdb-client declares itself typed, but most of its functions are not; so they are used as Any.
_influx: Any = influxdb_client
_setup_service: Any = SetupService
_mapping_service: Any = DBRPsService
_authorizations_service: Any = AuthorizationsService

#: Seconds that one request may take.
TIMEOUT_SECONDS = 10.0

T = TypeVar("T")


class _Until(urllib3.Retry):
    """Tries a request again until a point in time: a server that is starting gets its time, and no more."""

    deadline = 0.0
    refused: Callable[[], None] = staticmethod(lambda: None)

    def new(self, **kw: Any) -> _Until:
        other = super().new(**kw)
        other.deadline, other.refused = self.deadline, self.refused
        return other

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> _Until:
        if time.monotonic() >= self.deadline:
            raise MaxRetryError(_pool, url or "", error)
        self.refused()
        return super().increment(method, url, response, error, _pool, _stacktrace)


class Server:
    """An InfluxDB 2 and one of its organisations; use it as a context manager.

    Args:
        url: where it listens.
        wait_seconds: how long it may take to answer the first time.
        say: told when there is something to wait for.

    Raises:
        SetupError: the URL is none.
    """

    def __init__(self, url: str, *, wait_seconds: float, say: Callable[[str], None]) -> None:
        self.url = url.rstrip("/")
        self._wait_seconds = wait_seconds
        try:
            parsed = parse_url(self.url)
        except HTTPError:
            parsed = parse_url("")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise SetupError(f"{url!r} is not the URL of an InfluxDB; expected one such as http://127.0.0.1:8086")
        waiting: list[str] = []

        def refused() -> None:
            if not waiting:
                waiting.append(self.url)
                say(f"waiting for InfluxDB at {self.url}")

        retry = _Until(
            total=1_000_000,
            backoff_factor=0.1,
            backoff_max=1.0,
            status_forcelist=(502, 503, 504),
            respect_retry_after_header=False,
        )
        retry.deadline, retry.refused = time.monotonic() + wait_seconds, refused
        self._retry = retry
        self._client = self._connect("")
        self.organisation = ""
        self.organisation_id = ""

    def _connect(self, token: str) -> Any:
        return _influx.InfluxDBClient(
            self.url, token=token or None, timeout=int(TIMEOUT_SECONDS * 1000), retries=self._retry
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    def _call(self, purpose: str, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Call influxdb-client; *purpose* completes "InfluxDB refused to …". Raises SetupError, without a secret."""
        try:
            return function(*arguments, **named)
        except ApiException as error:
            raise SetupError(
                f"InfluxDB at {self.url} refused to {purpose}: {_said(error)} (status {error.status})"
            ) from None
        except HTTPError:
            raise SetupError(
                f"InfluxDB at {self.url} did not answer within {self._wait_seconds:g} s; "
                "start it, or name the right address with --url"
            ) from None

    # --- who may do what --------------------------------------------------------------------------

    def is_new(self) -> bool:
        """Whether nobody has set this InfluxDB up yet."""
        try:
            answer = self._call("say whether it is set up", _setup_service(self._client.api_client).get_setup)
        except (ValueError, AttributeError, TypeError):  # what is no JSON, or JSON of another server
            raise self._foreign() from None
        except SetupError as error:
            raise (self._foreign() if "status 404" in str(error) else error) from None
        if not isinstance(answer.allowed, bool):
            raise self._foreign()
        return answer.allowed

    def _foreign(self) -> SetupError:
        return SetupError(f"what answers at {self.url} is not InfluxDB 2; name the right address with --url")

    def onboard(self, organisation: str, user: str, password: str, token: str, bucket: Bucket) -> None:
        """Make the first user, organisation, bucket and the operator token, all at once."""
        request = _influx.OnboardingRequest(
            username=user,
            password=password,
            org=organisation,
            bucket=bucket.name,
            retention_period_seconds=bucket.retention_seconds,
            token=token,
        )
        self._call("be set up", _setup_service(self._client.api_client).post_setup, request)

    def accepts(self, token: str) -> bool:
        """Whether the token is a valid one, whatever it may do."""
        client = self._connect(token)
        try:
            # Listing needs no permission: what a token may not read is left out of the list.
            self._call("list its buckets", _refused_is_none, client.buckets_api().find_buckets, limit=1)
        except _Unauthorised:
            return False
        finally:
            client.close()
        return True

    def sign_in(self, token: str) -> None:
        """Use this token from now on."""
        self._client.close()
        self._client = self._connect(token)

    def enter(self, organisation: str) -> bool:
        """Work in this organisation from now on; True when it had to be made."""
        api = self._client.organizations_api()
        found = self._call("list its organisations", _not_found_is_none, api.find_organizations, org=organisation)
        made = not found
        if made:
            found = [self._call(f"make the organisation {organisation}", api.create_organization, name=organisation)]
        self.organisation = organisation
        self.organisation_id = str(found[0].id) if found else ""
        return made

    def tokens(self, description: str) -> list[StoredToken]:
        """The tokens of that description."""
        return [each for each in self.all_tokens() if each.description == description]

    def all_tokens(self) -> list[StoredToken]:
        """The organisation's tokens."""
        api = self._client.authorizations_api()
        listed = self._call("list its tokens", api.find_authorizations, org_id=self.organisation_id)
        return [
            StoredToken(
                str(each.id),
                each.status == "active",
                _permissions(each.permissions),
                each.description or "",
                f"{each.created_at:%Y-%m-%d}" if each.created_at else "",
            )
            for each in listed
        ]

    def describe_token(self, token_id: str, description: str) -> None:
        """Call a token something else."""
        update = _influx.AuthorizationUpdateRequest(status="active", description=description)
        api = _authorizations_service(self._client.api_client)
        self._call("rename a token", api.patch_authorizations_id, token_id, update)

    def create_token(self, description: str, permissions: Iterable[Permission]) -> tuple[str, str]:
        """Make a token: its id and its secret, which InfluxDB tells this once."""
        wanted = [
            _influx.Permission(
                action=action,
                resource=_influx.PermissionResource(type="buckets", id=bucket_id, org_id=self.organisation_id),
            )
            for action, bucket_id in sorted(permissions)
        ]
        authorization = _influx.Authorization(org_id=self.organisation_id, permissions=wanted, description=description)
        api = self._client.authorizations_api()
        made: Any = self._call(f"make the token {description!r}", api.create_authorization, authorization=authorization)
        return str(made.id), str(made.token)

    def delete_token(self, token_id: str) -> None:
        """Revoke a token."""
        self._call("revoke a token", self._client.authorizations_api().delete_authorization, token_id)

    # --- what it holds ----------------------------------------------------------------------------

    def bucket(self, name: str) -> StoredBucket | None:
        """The bucket of that name, or None."""
        api = self._client.buckets_api()
        answer: Any = self._call(
            f"show the bucket {name}", _not_found_is_none, api.find_buckets, name=name, org_id=self.organisation_id
        )
        for each in answer.buckets if answer else ():
            rule = each.retention_rules[0] if each.retention_rules else None
            return StoredBucket(
                str(each.id),
                Bucket(
                    name,
                    each.description or "",
                    int(rule.every_seconds) if rule else 0,
                    int(rule.shard_group_duration_seconds or 0) if rule else 0,
                ),
            )
        return None

    def create_bucket(self, bucket: Bucket) -> str:
        """Make a bucket; its id."""
        request = _influx.PostBucketRequest(
            name=bucket.name,
            org_id=self.organisation_id,
            description=bucket.description,
            retention_rules=[_retention(bucket)],
        )
        made: Any = self._call(f"make the bucket {bucket.name}", self._client.buckets_api().create_bucket, request)
        return str(made.id)

    def change_bucket(self, bucket_id: str, bucket: Bucket) -> None:
        """Give a bucket this description and retention."""
        changed = _influx.Bucket(
            id=bucket_id, name=bucket.name, description=bucket.description, retention_rules=[_retention(bucket)]
        )
        self._call(f"change the bucket {bucket.name}", self._client.buckets_api().update_bucket, changed)

    def has_point(self, bucket: str, host: str, since: float) -> bool:
        """Whether the bucket has a point of that host, measured at that time or later (seconds since 1970)."""
        # Up to the end of time: the host's clock may be ahead of this one's.
        times = f"start: time(v: {int(since * 1e9)}), stop: 2200-01-01T00:00:00Z"
        query = (
            f"from(bucket: {json.dumps(bucket)}) |> range({times})"
            f' |> filter(fn: (r) => r.host == {json.dumps(host)}) |> keep(columns: ["_time"]) |> limit(n: 1)'
        )
        return bool(self._call("be queried", self._client.query_api().query, query, org=self.organisation))

    def mappings(self, database: str, retention_policy: str) -> list[StoredMapping]:
        """The mappings of that name that somebody made; not those that InfluxDB makes by itself."""
        answer: Any = self._call(
            "list its mappings",
            _mapping_service(self._client.api_client).get_dbr_ps,
            org_id=self.organisation_id,
            db=database,
            rp=retention_policy,
        )
        return [
            StoredMapping(str(each.id), str(each.bucket_id), bool(each.default))
            for each in answer.content or ()
            if not each.virtual
        ]

    def create_mapping(self, mapping: Mapping, bucket_id: str) -> None:
        """Make a mapping."""
        request = _influx.DBRPCreate(
            org_id=self.organisation_id,
            bucket_id=bucket_id,
            database=mapping.database,
            retention_policy=mapping.retention_policy,
            default=mapping.default,
        )
        purpose = f"map {mapping.database}.{mapping.retention_policy}"
        self._call(purpose, _mapping_service(self._client.api_client).post_dbrp, request)

    def delete_mapping(self, mapping_id: str) -> None:
        """Delete a mapping; the bucket stays."""
        service = _mapping_service(self._client.api_client)
        self._call("delete a mapping", service.delete_dbrpid, mapping_id, org_id=self.organisation_id)

    def tasks(self, name: str) -> list[StoredTask]:
        """The tasks of that name; InfluxDB allows several."""
        api = self._client.tasks_api()
        listed = self._call(f"list the tasks {name}", api.find_tasks, name=name, org_id=self.organisation_id)
        return [StoredTask(str(each.id), each.flux, each.status == "active") for each in listed or ()]

    def create_task(self, task: Task) -> None:
        """Make a task. Raises SetupError with the task's file where InfluxDB finds a fault in it."""
        request = _influx.TaskCreateRequest(org_id=self.organisation_id, flux=task.flux, status="active")
        purpose = f"run the task in {task.file}"
        self._call(purpose, self._client.tasks_api().create_task, task_create_request=request)

    def change_task(self, task_id: str, task: Task) -> None:
        """Give a task this text, and let it run. Raises SetupError as :meth:`create_task`."""
        request = _influx.TaskUpdateRequest(flux=task.flux, status="active")
        purpose = f"run the task in {task.file}"
        self._call(purpose, self._client.tasks_api().update_task_request, task_id, request)

    def delete_task(self, task_id: str) -> None:
        """Delete a task."""
        self._call("delete a task", self._client.tasks_api().delete_task, task_id)


class _Unauthorised(Exception):
    """The token is not a valid one."""


def _refused_is_none(function: Callable[..., object], **named: Any) -> object:
    try:
        return function(**named)
    except ApiException as error:
        if error.status == 401:
            raise _Unauthorised from None
        raise


def _not_found_is_none(function: Callable[..., T], **named: Any) -> T | None:
    try:
        return function(**named)
    except ApiException as error:
        if error.status == 404:
            return None
        raise


def _said(error: ApiException) -> str:
    """What InfluxDB itself says was wrong, on one line."""
    return " ".join(str(error.message).split()) if error.message else str(error.reason)


def _retention(bucket: Bucket) -> Any:
    return _influx.BucketRetentionRules(
        type="expire",
        every_seconds=bucket.retention_seconds,
        shard_group_duration_seconds=bucket.shard_group_seconds or None,
    )


def _permissions(listed: Iterable[Any]) -> frozenset[Permission] | None:
    permissions = set()
    for each in listed:
        if each.resource.type != "buckets" or not each.resource.id:
            return None
        permissions.add((str(each.action), str(each.resource.id)))
    return frozenset(permissions)
