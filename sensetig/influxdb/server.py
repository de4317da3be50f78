"""The administrative calls to an InfluxDB: tokens, buckets, mappings and tasks. Every failure is an InfluxDBError."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import influxdb_client
from influxdb_client.rest import ApiException
from influxdb_client.service.authorizations_service import AuthorizationsService
from influxdb_client.service.dbr_ps_service import DBRPsService
from influxdb_client.service.setup_service import SetupService

from sensetig.errors import TokenRefused
from sensetig.influxdb.client import Client
from sensetig.influxdb.definitions import Bucket, Mapping, Task
from sensetig.influxdb.stored import Permission, StoredBucket, StoredMapping, StoredTask, StoredToken

# influxdb-client declares itself typed, but most of its functions are not; so they are used as Any.
_influx: Any = influxdb_client
_setup_service: Any = SetupService
_mapping_service: Any = DBRPsService
_authorizations_service: Any = AuthorizationsService

#: Seconds allowed for one request.
TIMEOUT_SECONDS = 30.0

T = TypeVar("T")


class Server:
    """An InfluxDB 2 and one of its organisations; use it as a context manager.

    Args:
        url: its address.
        wait_seconds: seconds allowed for its first response.
        say: called when a wait begins.
        ca_file: certificates to trust in addition to the system's.

    Raises:
        SiteError: the address is invalid.
    """

    def __init__(
        self, url: str, *, wait_seconds: float, say: Callable[[str], None], ca_file: Path | None = None
    ) -> None:
        warned: list[str] = []

        def waiting() -> None:
            if not warned:
                warned.append(url)
                say(f"waiting for InfluxDB at {self.url}")

        self._client = Client(
            url, ca_file=ca_file, timeout_seconds=TIMEOUT_SECONDS, wait_seconds=wait_seconds, waiting=waiting
        )
        self.url = self._client.url
        self.organisation = ""
        self.organisation_id = ""

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.close()

    # --- permissions ------------------------------------------------------------------------------

    def is_new(self) -> bool:
        """Whether this InfluxDB has not been set up yet. Raises InfluxDBError."""
        service = _setup_service(self._client.api.api_client)
        try:
            answer = self._client.call("say whether it is set up", service.get_setup)
        except (ValueError, AttributeError, TypeError):  # not JSON, or that of another server
            raise self._client.not_influxdb() from None
        if not isinstance(answer.allowed, bool):
            raise self._client.not_influxdb()
        return answer.allowed

    def onboard(self, organisation: str, user: str, password: str, token: str, bucket: Bucket) -> None:
        """Create the first user, organisation, bucket and operator token in one request."""
        request = _influx.OnboardingRequest(
            username=user,
            password=password,
            org=organisation,
            bucket=bucket.name,
            retention_period_seconds=bucket.retention_seconds,
            token=token,
        )
        self._client.call("be set up", _setup_service(self._client.api.api_client).post_setup, request)

    def accepts(self, token: str) -> bool:
        """Whether the token is valid, whatever its permissions. Raises InfluxDBError."""
        client = self._client.typed(token)
        try:
            # Listing needs no permission: the list only omits buckets that the token may not read.
            self._client.call("list its buckets", client.buckets_api().find_buckets, limit=1)
        except TokenRefused as error:
            if error.status == 401:
                return False
            raise
        finally:
            client.close()
        return True

    def sign_in(self, token: str, origin: str = "the operator token") -> None:
        """Use this token from now on."""
        self._client.use(token, origin)

    def enter(self, organisation: str) -> bool:
        """Use this organisation from now on; True if it was created."""
        api = self._client.api.organizations_api()
        purpose = "list its organisations"
        found = self._client.call(purpose, _not_found_is_none, api.find_organizations, org=organisation)
        made = not found
        if made:
            purpose = f"make the organisation {organisation}"
            found = [self._client.call(purpose, api.create_organization, name=organisation)]
        self.organisation = organisation
        self.organisation_id = str(found[0].id) if found else ""
        return made

    def tokens(self, description: str) -> list[StoredToken]:
        """The tokens with that description."""
        return [each for each in self.all_tokens() if each.description == description]

    def all_tokens(self) -> list[StoredToken]:
        """The organisation's tokens."""
        api = self._client.api.authorizations_api()
        listed = self._client.call("list its tokens", api.find_authorizations, org_id=self.organisation_id)
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
        """Change the description of a token."""
        update = _influx.AuthorizationUpdateRequest(status="active", description=description)
        api = _authorizations_service(self._client.api.api_client)
        self._client.call("rename a token", api.patch_authorizations_id, token_id, update)

    def create_token(self, description: str, permissions: Iterable[Permission]) -> tuple[str, str]:
        """Create a token: its id and its secret, which InfluxDB shows only once."""
        wanted = [
            _influx.Permission(
                action=action,
                resource=_influx.PermissionResource(type="buckets", id=bucket_id, org_id=self.organisation_id),
            )
            for action, bucket_id in sorted(permissions)
        ]
        authorization = _influx.Authorization(org_id=self.organisation_id, permissions=wanted, description=description)
        api = self._client.api.authorizations_api()
        purpose = f"make the token {description!r}"
        made: Any = self._client.call(purpose, api.create_authorization, authorization=authorization)
        return str(made.id), str(made.token)

    def delete_token(self, token_id: str) -> None:
        """Revoke a token."""
        self._client.call("revoke a token", self._client.api.authorizations_api().delete_authorization, token_id)

    # --- contents ---------------------------------------------------------------------------------

    def bucket(self, name: str) -> StoredBucket | None:
        """The bucket of that name, or None."""
        api = self._client.api.buckets_api()
        answer: Any = self._client.call(
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
        """Create a bucket, and return its id."""
        request = _influx.PostBucketRequest(
            name=bucket.name,
            org_id=self.organisation_id,
            description=bucket.description,
            retention_rules=[_retention(bucket)],
        )
        create = self._client.api.buckets_api().create_bucket
        made: Any = self._client.call(f"make the bucket {bucket.name}", create, request)
        return str(made.id)

    def change_bucket(self, bucket_id: str, bucket: Bucket) -> None:
        """Set the description and retention of a bucket."""
        changed = _influx.Bucket(
            id=bucket_id, name=bucket.name, description=bucket.description, retention_rules=[_retention(bucket)]
        )
        self._client.call(f"change the bucket {bucket.name}", self._client.api.buckets_api().update_bucket, changed)

    def has_point(self, bucket: str, host: str, since: float) -> bool:
        """Whether the bucket has a point of that host at that time or later (seconds since 1970)."""
        # Without an upper limit, because the host's clock may be ahead of this one's.
        times = f"start: time(v: {int(since * 1e9)}), stop: 2200-01-01T00:00:00Z"
        query = (
            f"from(bucket: {json.dumps(bucket)}) |> range({times})"
            f' |> filter(fn: (r) => r.host == {json.dumps(host)}) |> keep(columns: ["_time"]) |> limit(n: 1)'
        )
        return bool(self._client.call("be queried", self._client.api.query_api().query, query, org=self.organisation))

    def mappings(self, database: str, retention_policy: str) -> list[StoredMapping]:
        """The mappings of that name, except InfluxDB's virtual ones."""
        answer: Any = self._client.call(
            "list its mappings",
            _mapping_service(self._client.api.api_client).get_dbr_ps,
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
        """Create a mapping."""
        request = _influx.DBRPCreate(
            org_id=self.organisation_id,
            bucket_id=bucket_id,
            database=mapping.database,
            retention_policy=mapping.retention_policy,
            default=mapping.default,
        )
        purpose = f"map {mapping.database}.{mapping.retention_policy}"
        self._client.call(purpose, _mapping_service(self._client.api.api_client).post_dbrp, request)

    def delete_mapping(self, mapping_id: str) -> None:
        """Delete a mapping, but not its bucket."""
        service = _mapping_service(self._client.api.api_client)
        self._client.call("delete a mapping", service.delete_dbrpid, mapping_id, org_id=self.organisation_id)

    def tasks(self, name: str) -> list[StoredTask]:
        """The tasks of that name; InfluxDB allows several."""
        api = self._client.api.tasks_api()
        listed = self._client.call(f"list the tasks {name}", api.find_tasks, name=name, org_id=self.organisation_id)
        return [StoredTask(str(each.id), each.flux, each.status == "active") for each in listed or ()]

    def create_task(self, task: Task) -> None:
        """Create a task. Raises InfluxDBError with the task's file if InfluxDB finds an error in it."""
        request = _influx.TaskCreateRequest(org_id=self.organisation_id, flux=task.flux, status="active")
        purpose = f"run the task in {task.file}"
        self._client.call(purpose, self._client.api.tasks_api().create_task, task_create_request=request)

    def change_task(self, task_id: str, task: Task) -> None:
        """Set the script of a task, and activate it. Raises InfluxDBError like :meth:`create_task`."""
        request = _influx.TaskUpdateRequest(flux=task.flux, status="active")
        purpose = f"run the task in {task.file}"
        self._client.call(purpose, self._client.api.tasks_api().update_task_request, task_id, request)

    def delete_task(self, task_id: str) -> None:
        """Delete a task."""
        self._client.call("delete a task", self._client.api.tasks_api().delete_task, task_id)


def _not_found_is_none(function: Callable[..., T], **named: Any) -> T | None:
    try:
        return function(**named)
    except ApiException as error:
        if error.status == 404:
            return None
        raise


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
