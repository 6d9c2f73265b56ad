"""Puts the token service together: the core over its adapters, and its servicers over the core."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from prometheus_client import CollectorRegistry
from tokhub.token.v1 import token_pb2, token_pb2_grpc, vault_pb2, vault_pb2_grpc

from libs.clock import Clock, SystemClock
from libs.database.pool import Pool
from libs.rpc.server import RpcService
from libs.tiktok.transport import Transport
from libs.vault.ring import KeyRing
from services.token.adapters.alarm import Alarm
from services.token.adapters.bulk import PostgresBulk
from services.token.adapters.connections import PostgresConnections
from services.token.adapters.due import PostgresDue
from services.token.adapters.events import PostgresEvents
from services.token.adapters.forecast_rows import PostgresForecast
from services.token.adapters.imports import PostgresImports
from services.token.adapters.key_ring import PostgresKeyRing
from services.token.adapters.links import PostgresLinks
from services.token.adapters.metered import DoubtMeter, MeteredRefresh, MeteredTokens, RefreshMeter
from services.token.adapters.provider_events import PostgresProviderEvents
from services.token.adapters.providers import event_readers, login_kit_provider, shop_provider
from services.token.adapters.refresh_runs import PostgresRefreshRuns
from services.token.adapters.restoring import PostgresReplay
from services.token.adapters.revocations import PostgresRevocations
from services.token.adapters.rotations import PostgresRotations
from services.token.adapters.sealed_rows import PostgresSealedRows
from services.token.adapters.shops import PostgresShops
from services.token.adapters.standing import Standing
from services.token.adapters.tiktok_shop import TiktokShopProvider
from services.token.adapters.timeline_rows import PostgresTimeline
from services.token.adapters.verifications import PostgresVerifications
from services.token.core import authorization, disconnection, exchange, rotation
from services.token.core.ahead import RefreshAhead
from services.token.core.authorization import Authorization
from services.token.core.batch import BatchTokens
from services.token.core.breaker import Breaker
from services.token.core.cache import ReadCache, SharedReads
from services.token.core.directory import Directory
from services.token.core.disconnection import Disconnection
from services.token.core.double_spend import DoubleSpendWatch
from services.token.core.exchange import Exchange
from services.token.core.explain import Explainer
from services.token.core.forecast import Forecaster
from services.token.core.importing import Importing
from services.token.core.journal import OwnJournal, ReplayPort
from services.token.core.key_ring import RingMember
from services.token.core.landing import Landing
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
class Grounds:
    """What the core stands on, open while the process runs; replica is this process's name in rows and files.

    The reserve is a pool for saves of new tokens alone.
    """

    pool: Pool
    reserve: Pool
    transport: Transport
    ring: KeyRing
    journal: OwnJournal
    replica: str
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    sight: Sight = field(default_factory=Sight)
    shared: SharedReads | None = None


@dataclass(frozen=True, kw_only=True)
class Base:
    """What most parts of the core are made with."""

    settings: TokenSettings
    grounds: Grounds
    clock: Clock
    vault: Vault
    connections: PostgresConnections
    providers: Providers
    shop: TiktokShopProvider | None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Tokens for those who ask, and news of them."""

    tokens: TokensPort
    cache: ReadCache
    batch: BatchTokens
    watch: TokenWatch


@dataclass(frozen=True, kw_only=True)
class Refreshing:
    """One connection's refresh, all of them, those that are due, and what the journal brings back."""

    refresher: Refresher
    landing: Landing
    refresh_all: RefreshAll
    ahead: RefreshAhead
    replay: ReplayPort
    double_spends: DoubleSpendWatch


@dataclass(frozen=True, kw_only=True)
class Vaulting:
    """This replica's part in the key ring, and what operators do with the vault."""

    member: RingMember
    keys: PostgresKeyRing
    rotation: KeyRotation
    verification: Verification


@dataclass(frozen=True, kw_only=True)
class Core:
    """What the servicers call, what must land before the process ends, and what is done again and again."""

    reading: Reading
    refreshing: Refreshing
    connecting: connection_service.Parts
    vaulting: Vaulting
    chores: Sequence[Chore]


def build_core(settings: TokenSettings, grounds: Grounds) -> Core:
    """Put the core together over its adapters."""
    base = build_base(settings, grounds)
    runs, timeline = PostgresRefreshRuns(grounds.pool), PostgresTimeline(grounds.pool)
    events = PostgresProviderEvents(pool=grounds.pool, replica=grounds.replica)
    refreshing = build_refreshing(base, runs)
    importing, import_chores = build_importing(base, refreshing.refresher)
    disconnection = build_disconnection(base)
    directory = Directory(base.connections)
    connecting = connection_service.Parts(
        authorization=build_authorization(base),
        disconnection=disconnection,
        importing=importing,
        directory=directory,
        explainer=Explainer(directory=directory, timeline=timeline),
        forecaster=Forecaster(PostgresForecast(grounds.pool)),
        events=ProviderEvents(readers=event_readers(settings), rows=events, journal=grounds.journal),
    )
    chores: tuple[Chore, ...] = (
        Retention(rows=events, age=PROVIDER_EVENTS_KEPT).sweep,
        Retention(rows=timeline, age=timedelta(days=settings.token_events_days)).sweep,
        disconnection.revoke_due,
        disconnection.carry_out_owed,
        runs.lose,
        *import_chores,
    )
    return Core(
        reading=build_reading(base, refreshing.refresher),
        refreshing=refreshing,
        connecting=connecting,
        vaulting=build_vaulting(base),
        chores=chores,
    )


def build_base(settings: TokenSettings, grounds: Grounds) -> Base:
    """Put together what most parts of the core are made with."""
    clock, meter = SystemClock(), RefreshMeter(grounds.registry)
    shop = shop_provider(settings, grounds.transport, clock)
    providers: dict[Provider, ProviderPort] = {
        Provider.LOGIN_KIT: login_kit_provider(settings, grounds.transport, clock),
        **({Provider.TIKTOK_SHOP: shop} if shop else {}),
    }
    return Base(
        settings=settings,
        grounds=grounds,
        clock=clock,
        vault=Vault(grounds.ring, [derive(secret, "refresh-token-mark") for secret in settings.state_ring]),
        connections=PostgresConnections(
            pool=grounds.pool,
            replica=grounds.replica,
            reserve=grounds.reserve,
            doubts=DoubtMeter(grounds.registry),
        ),
        providers={name: meter.around(name, port) for name, port in providers.items()},
        shop=shop,
    )


def build_reading(base: Base, refresher: Refresher) -> Reading:
    """Put together what hands out tokens."""
    cache, pool = ReadCache(clock=base.clock), base.grounds.pool
    tokens = Tokens(
        connections=base.connections, cache=cache, refresher=refresher, vault=base.vault, shared=base.grounds.shared
    )
    metered = MeteredTokens(tokens, base.grounds.registry)
    batch = BatchTokens(rows=PostgresBulk(pool), tokens=metered)
    return Reading(tokens=metered, cache=cache, batch=batch, watch=TokenWatch(PostgresEvents(pool)))


def build_refreshing(base: Base, runs: PostgresRefreshRuns) -> Refreshing:
    """Put together what refreshes."""
    grounds, clock, concurrency = base.grounds, base.clock, base.settings.refresh_concurrency
    alarm = Alarm(pool=grounds.pool, replica=grounds.replica, registry=grounds.registry)
    double_spends = DoubleSpendWatch(rows=base.connections, vault=base.vault, alarm=alarm)
    replay = PostgresReplay(pool=grounds.reserve, vault=base.vault)
    refresher = build_refresher(base, double_spends, replay)
    ahead = RefreshAhead(
        rows=PostgresDue(grounds.pool),
        refresher=MeteredRefresh(refresher, grounds.registry),
        clock=clock,
        in_flight=base.settings.refresh_ahead_concurrency,
    )
    return Refreshing(
        refresher=refresher,
        landing=Landing(flights=refresher, grace=base.settings.stop_grace_seconds, clock=clock),
        refresh_all=RefreshAll(runs=runs, refresher=refresher, clock=clock, concurrency=concurrency),
        ahead=ahead,
        replay=replay,
        double_spends=double_spends,
    )


def build_refresher(base: Base, double_spends: DoubleSpendWatch, replay: ReplayPort) -> Refresher:
    """Put together what refreshes one connection, and let its metrics be read."""
    grounds, clock = base.grounds, base.clock
    breaker = Breaker(clock)
    parts = exchange.Parts(
        connections=base.connections,
        providers=base.providers,
        journal=grounds.journal,
        breaker=breaker,
        replay=replay,
        vault=base.vault,
        watch=double_spends,
        clock=clock,
    )
    refresher = Refresher(connections=base.connections, exchange=Exchange(parts), sight=grounds.sight, clock=clock)
    standing = Standing(providers=list(base.providers), breaker=breaker, refresher=refresher, journal=grounds.journal)
    grounds.registry.register(standing)
    return refresher


def build_authorization(base: Base) -> Authorization:
    """Put together what makes connections."""
    settings = base.settings
    parts = authorization.Parts(
        connections=base.connections,
        links=PostgresLinks(base.grounds.pool),
        providers=base.providers,
        journal=base.grounds.journal,
        vault=base.vault,
        clock=base.clock,
    )
    states = States(
        secrets=settings.state_ring,
        redirect_uri=settings.tiktok_redirect_uri,
        lifetime=timedelta(seconds=settings.oauth_state_ttl_seconds),
        allowed=settings.tiktok_allowed_redirect_uris,
    )
    return Authorization(parts, states)


def build_disconnection(base: Base) -> Disconnection:
    """Put together what ends connections."""
    rows = PostgresRevocations(pool=base.grounds.pool, replica=base.grounds.replica)
    parts = disconnection.Parts(
        connections=base.connections,
        rows=rows,
        providers=base.providers,
        journal=base.grounds.journal,
        replay=PostgresReplay(pool=base.grounds.pool, vault=base.vault),
        vault=base.vault,
    )
    return Disconnection(parts)


def build_importing(base: Base, refresher: Refresher) -> tuple[Importing, Sequence[Chore]]:
    """Put imports together, with their chores and, if there is a TikTok Shop app, those of learning shops."""
    pool, replica, vault = base.grounds.pool, base.grounds.replica, base.vault
    shops = PostgresShops(pool=pool, replica=replica)
    learner = ShopLearner(rows=shops, source=base.shop, vault=vault) if base.shop else None
    imports = PostgresImports(pool=pool, replica=replica)
    importing = Importing(rows=imports, providers=base.providers, refresher=refresher, learner=learner, vault=vault)
    return importing, ((learner.learn_due,) if learner else ()) + (importing.finish_due,)


def build_vaulting(base: Base) -> Vaulting:
    """Put the core of VaultService together."""
    grounds = base.grounds
    ring, pool, replica = grounds.ring, grounds.pool, grounds.replica
    clock, vault, rows = SystemClock(), Vault(ring), PostgresSealedRows(pool)
    keys = PostgresKeyRing(pool=pool, replica=replica)
    member = RingMember(ring=ring, keys=keys, clock=clock)
    parts = rotation.Parts(
        member=member,
        keys=keys,
        rows=rows,
        connections=base.connections,
        rotations=PostgresRotations(pool=pool, replica=replica),
        vault=vault,
        clock=clock,
    )
    audit = PostgresVerifications(pool=pool, replica=replica)
    verification = Verification(rows=rows, vault=vault, journal=grounds.journal, audit=audit)
    return Vaulting(member=member, keys=keys, rotation=KeyRotation(parts), verification=verification)


def proto_services(core: Core) -> list[RpcService]:
    """Return the proto services of this process."""
    reading, vaulting, refresh_all = core.reading, core.vaulting, core.refreshing.refresh_all

    def end_token_streams() -> None:
        refresh_all.close()
        reading.watch.close()

    token = TokenServicer(tokens=reading.tokens, batch=reading.batch, refresh_all=refresh_all, watch=reading.watch)
    connection = ConnectionServicer(core.connecting)
    vault = VaultServicer(keys=vaulting.keys, rotation=vaulting.rotation, verification=vaulting.verification)
    names = token_pb2.DESCRIPTOR.services_by_name
    return [
        RpcService(
            name=names["TokenService"].full_name,
            register=lambda server: token_pb2_grpc.add_TokenServiceServicer_to_server(token, server),
            end_streams=end_token_streams,
            repeated=["GetValidToken"],
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
