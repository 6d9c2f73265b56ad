"""Puts the token service together: the core over its adapters, and its servicers over the core."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from prometheus_client import CollectorRegistry
from tokhub.token.v1 import token_pb2, token_pb2_grpc, vault_pb2, vault_pb2_grpc

from libs.clock import SystemClock
from libs.database.pool import Pool
from libs.rpc.server import RpcService
from libs.tiktok.transport import Transport
from libs.vault.ring import KeyRing
from services.token.adapters.alarm import Alarm
from services.token.adapters.bulk import PostgresBulk
from services.token.adapters.connections import PostgresConnections
from services.token.adapters.events import PostgresEvents
from services.token.adapters.forecast_rows import PostgresForecast
from services.token.adapters.imports import PostgresImports
from services.token.adapters.key_ring import PostgresKeyRing
from services.token.adapters.links import PostgresLinks
from services.token.adapters.metered import MeteredTokens, RefreshMeter
from services.token.adapters.provider_events import PostgresProviderEvents
from services.token.adapters.providers import event_readers, login_kit_provider, shop_provider
from services.token.adapters.refresh_runs import PostgresRefreshRuns
from services.token.adapters.restoring import PostgresReplay
from services.token.adapters.revocations import PostgresRevocations
from services.token.adapters.rotations import PostgresRotations
from services.token.adapters.sealed_rows import PostgresSealedRows
from services.token.adapters.shops import PostgresShops
from services.token.adapters.standing import Standing
from services.token.adapters.timeline_rows import PostgresTimeline
from services.token.adapters.verifications import PostgresVerifications
from services.token.core import authorization, disconnection, exchange, rotation
from services.token.core.authorization import Authorization
from services.token.core.batch import BatchTokens
from services.token.core.breaker import Breaker
from services.token.core.cache import ReadCache
from services.token.core.directory import Directory
from services.token.core.disconnection import Disconnection
from services.token.core.double_spend import DoubleSpendWatch
from services.token.core.exchange import Exchange
from services.token.core.explain import Explainer
from services.token.core.forecast import Forecaster
from services.token.core.importing import Importing
from services.token.core.journal import OwnJournal, ReplayPort
from services.token.core.key_ring import RingMember
from services.token.core.provider import ProviderPort, Providers
from services.token.core.provider_events import ProviderEvents
from services.token.core.refresh import Refresher
from services.token.core.refresh_all import RefreshAll
from services.token.core.retention import Retention
from services.token.core.rotation import KeyRotation
from services.token.core.shops import ShopLearner
from services.token.core.sight import Sight
from services.token.core.state import States, derive
from services.token.core.tokens import Tokens, TokensPort
from services.token.core.upkeep import Chore
from services.token.core.vault import Vault
from services.token.core.verification import Verification
from services.token.core.watch_tokens import TokenWatch
from services.token.domain.connection import Provider
from services.token.servicers import connection as connection_service
from services.token.servicers.connection import ConnectionServicer
from services.token.servicers.token import TokenServicer
from services.token.servicers.vault import VaultServicer
from services.token.settings import TokenSettings

# Login Kit repeats an event for 72 hours.
PROVIDER_EVENTS_KEPT = timedelta(days=8)


@dataclass(frozen=True, kw_only=True)
class Vaulting:
    """This replica's part in the key ring, and what operators do with the vault."""

    member: RingMember
    keys: PostgresKeyRing
    rotation: KeyRotation
    verification: Verification


@dataclass(frozen=True, kw_only=True)
class Core:
    """The parts a servicer calls, and those that must land before the process ends."""

    tokens: TokensPort
    cache: ReadCache
    directory: Directory
    refresher: Refresher
    authorizing: Authorization
    disconnecting: Disconnection
    importing: Importing | None
    explainer: Explainer
    events: ProviderEvents
    retention: Retention
    vaulting: Vaulting
    chores: Sequence[Chore]
    refresh_all: RefreshAll
    batch: BatchTokens
    watch: TokenWatch
    forecaster: Forecaster
    replay: ReplayPort
    double_spends: DoubleSpendWatch


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What the core stands on, open while the process runs; replica is this process's name in rows and files."""

    pool: Pool
    transport: Transport
    ring: KeyRing
    journal: OwnJournal
    replica: str
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    sight: Sight = field(default_factory=Sight)


def build_vaulting(grounds: Grounds) -> Vaulting:
    """Put the core of VaultService together."""
    ring, pool, replica = grounds.ring, grounds.pool, grounds.replica
    clock, vault, rows = SystemClock(), Vault(ring), PostgresSealedRows(pool)
    keys = PostgresKeyRing(pool=pool, replica=replica)
    member = RingMember(ring=ring, keys=keys, clock=clock)
    parts = rotation.Parts(
        member=member,
        keys=keys,
        rows=rows,
        connections=PostgresConnections(pool=pool, replica=replica),
        rotations=PostgresRotations(pool=pool, replica=replica),
        vault=vault,
        clock=clock,
    )
    audit = PostgresVerifications(pool=pool, replica=replica)
    verification = Verification(rows=rows, vault=vault, journal=grounds.journal, audit=audit)
    return Vaulting(member=member, keys=keys, rotation=KeyRotation(parts), verification=verification)


def build_refresher(
    grounds: Grounds,
    connections: PostgresConnections,
    providers: Providers,
    vault: Vault,
    double_spends: DoubleSpendWatch,
) -> Refresher:
    """Put together what refreshes, and what its metrics are read from."""
    clock, journal = SystemClock(), grounds.journal
    breaker = Breaker(clock)
    spending = exchange.Parts(
        connections=connections,
        providers=providers,
        journal=journal,
        breaker=breaker,
        replay=PostgresReplay(pool=grounds.pool, vault=vault),
        vault=vault,
        watch=double_spends,
        clock=clock,
    )
    refresher = Refresher(connections=connections, exchange=Exchange(spending), sight=grounds.sight, clock=clock)
    standing = Standing(providers=list(providers), breaker=breaker, refresher=refresher, journal=journal)
    grounds.registry.register(standing)
    return refresher


def build_core(settings: TokenSettings, grounds: Grounds) -> Core:
    """Put the core together over its adapters."""
    clock, journal = SystemClock(), grounds.journal
    vault = Vault(grounds.ring, [derive(secret, "refresh-token-mark") for secret in settings.state_ring])
    providers: dict[Provider, ProviderPort] = {
        Provider.LOGIN_KIT: login_kit_provider(settings, grounds.transport, clock)
    }
    shop = shop_provider(settings, grounds.transport, clock)
    if shop:
        providers[Provider.TIKTOK_SHOP] = shop
    meter = RefreshMeter(grounds.registry)
    providers = {name: meter.around(name, port) for name, port in providers.items()}
    connections = PostgresConnections(pool=grounds.pool, replica=grounds.replica)
    cache = ReadCache(clock=clock)
    links = PostgresLinks(grounds.pool)
    alarm = Alarm(pool=grounds.pool, replica=grounds.replica, registry=grounds.registry)
    double_spends = DoubleSpendWatch(rows=connections, vault=vault, alarm=alarm)
    refresher = build_refresher(grounds, connections, providers, vault, double_spends)
    states = States(
        secrets=settings.state_ring,
        redirect_uri=settings.tiktok_redirect_uri,
        lifetime=timedelta(seconds=settings.oauth_state_ttl_seconds),
    )
    parts = authorization.Parts(
        connections=connections, links=links, providers=providers, journal=journal, vault=vault, clock=clock
    )
    ending = disconnection.Parts(
        rows=PostgresRevocations(pool=grounds.pool, replica=grounds.replica),
        providers=providers,
        journal=journal,
        vault=vault,
    )
    disconnecting = Disconnection(ending)
    event_rows = PostgresProviderEvents(pool=grounds.pool, replica=grounds.replica)
    events_kept = Retention(rows=event_rows, age=PROVIDER_EVENTS_KEPT, clock=clock)
    runs = PostgresRefreshRuns(grounds.pool)
    chores: tuple[Chore, ...] = (events_kept.sweep, disconnecting.revoke_due, runs.lose)
    importing = None
    if shop:
        learner = ShopLearner(rows=PostgresShops(pool=grounds.pool, replica=grounds.replica), source=shop, vault=vault)
        imports = PostgresImports(pool=grounds.pool, replica=grounds.replica)
        importing = Importing(rows=imports, refresher=refresher, learner=learner, vault=vault)
        chores += (learner.learn_due, importing.finish_due)
    directory, timeline = Directory(connections), PostgresTimeline(grounds.pool)
    tokens = MeteredTokens(
        Tokens(connections=connections, cache=cache, refresher=refresher, vault=vault), grounds.registry
    )
    return Core(
        tokens=tokens,
        cache=cache,
        directory=directory,
        refresher=refresher,
        authorizing=Authorization(parts, states),
        disconnecting=disconnecting,
        importing=importing,
        explainer=Explainer(directory=directory, timeline=timeline),
        events=ProviderEvents(readers=event_readers(settings, clock), rows=event_rows, journal=journal, clock=clock),
        retention=Retention(rows=timeline, age=timedelta(days=settings.token_events_days), clock=clock),
        vaulting=build_vaulting(grounds),
        chores=chores,
        refresh_all=RefreshAll(
            runs=runs,
            refresher=refresher,
            clock=clock,
            concurrency=settings.refresh_concurrency,
        ),
        batch=BatchTokens(rows=PostgresBulk(grounds.pool), tokens=tokens),
        watch=TokenWatch(PostgresEvents(grounds.pool)),
        forecaster=Forecaster(PostgresForecast(grounds.pool)),
        replay=PostgresReplay(pool=grounds.pool, vault=vault),
        double_spends=double_spends,
    )


def proto_services(core: Core) -> list[RpcService]:
    """Return the proto services of this process."""

    def end_token_streams() -> None:
        core.refresh_all.close()
        core.watch.close()

    token = TokenServicer(tokens=core.tokens, batch=core.batch, refresh_all=core.refresh_all, watch=core.watch)
    connection = ConnectionServicer(
        connection_service.Parts(
            authorization=core.authorizing,
            disconnection=core.disconnecting,
            importing=core.importing,
            directory=core.directory,
            explainer=core.explainer,
            forecaster=core.forecaster,
            events=core.events,
        )
    )
    vaulting = core.vaulting
    vault = VaultServicer(keys=vaulting.keys, rotation=vaulting.rotation, verification=vaulting.verification)
    names = token_pb2.DESCRIPTOR.services_by_name
    return [
        RpcService(
            name=names["TokenService"].full_name,
            register=lambda server: token_pb2_grpc.add_TokenServiceServicer_to_server(token, server),
            end_streams=end_token_streams,
        ),
        RpcService(
            name=names["ConnectionService"].full_name,
            register=lambda server: token_pb2_grpc.add_ConnectionServiceServicer_to_server(connection, server),
        ),
        RpcService(
            name=vault_pb2.DESCRIPTOR.services_by_name["VaultService"].full_name,
            register=lambda server: vault_pb2_grpc.add_VaultServiceServicer_to_server(vault, server),
        ),
    ]
