"""The whole sandbox as one value: everything the web routes work on."""

import random
from dataclasses import dataclass

from sandbox.accounts import Accounts
from sandbox.clock import SandboxClock
from sandbox.codes import Codes, Consent, ShopConsent
from sandbox.content import Catalogue
from sandbox.faults import FaultScript
from sandbox.grants import Grant, Grants, RefusedError
from sandbox.ledger import Event, Ledger
from sandbox.limiter import SlidingWindow
from sandbox.notices import CREATOR_DEAUTHORIZED, REMOVED, SELLER_DEAUTHORIZED, Notice, login_notice, shop_notices
from sandbox.outbox import Outbox, Target
from sandbox.sellers import Sellers
from sandbox.settings import Settings, Switches
from sandbox.signing import Signer
from sandbox.store import StateStore
from sandbox.webhook_signing import login_signature, shop_signature


class SwitchBoard:
    """The switches as they stand now."""

    def __init__(self, switches: Switches) -> None:
        self.now = switches

    def current(self) -> Switches:
        """Return the switches as they stand now."""
        return self.now


@dataclass(frozen=True, slots=True)
class World:
    """The parts of one sandbox."""

    settings: Settings
    board: SwitchBoard
    store: StateStore
    clock: SandboxClock
    signer: Signer
    accounts: Accounts
    sellers: Sellers
    catalogue: Catalogue
    grants: Grants
    codes: Codes[Consent]
    shop_codes: Codes[ShopConsent]
    limiter: SlidingWindow
    faults: FaultScript
    ledger: Ledger
    dice: random.Random
    outbox: Outbox

    def client_time(self) -> int:
        """Return what a client's own watch shows now; Unix seconds."""
        return self.clock.on_client_watch(self.clock.now())

    def note_accepted(self, what: str, outcome: str, token: str, grant: Grant) -> None:
        """Record that a token was presented and did what it is for."""
        claim = self.signer.read(token)
        serial = claim.serial if claim else 0
        self.ledger.record(Event("presented", what, outcome, grant.open_id, grant.id, serial, token))

    def note_refused(self, what: str, token: str, refused: RefusedError) -> None:
        """Record that a token was presented and refused."""
        open_id, grant = (refused.grant.open_id, refused.grant.id) if refused.grant else ("", "")
        self.ledger.record(Event("presented", what, refused.reason, open_id, grant, refused.serial, token))

    def tell_removed(self, open_id: str, reason: int) -> None:
        """Send what TikTok sends when the app is removed: to Login Kit with a reason, to the Shop for every shop."""
        seller = self.sellers.find(open_id)
        if seller is None:
            key = self.settings.client_key
            self.outbox.send([login_notice(key, REMOVED, open_id, {"reason": reason}, self.client_time())])
            return
        kind = SELLER_DEAUTHORIZED if seller.shops else CREATOR_DEAUTHORIZED
        self.outbox.send(shop_notices(seller, kind, self.shop_time(self.clock.now())))

    def shop_time(self, moment: float) -> int:
        """Return what TikTok Shop calls this moment of sandbox time; Unix seconds."""
        if self.board.now.shop_unix_time == "sandbox":
            return int(moment + 0.001)
        return self.clock.on_client_watch(moment)

    def grow_accounts(self, count: int) -> int:
        """Make sure there are `count` accounts, for later starts too; return how many are new."""
        new = self.accounts.grow_to(count)
        self.store.save_people("accounts", len(self.accounts))
        return new

    def grow_sellers(self, count: int) -> int:
        """Make sure there are `count` sellers, for later starts too; return how many are new."""
        new = self.sellers.grow_to(count)
        self.store.save_people("sellers", self.sellers.count)
        return new


def webhook_target(settings: Settings, switches: Switches, notice: Notice) -> Target | None:
    """Return where a webhook goes and how it is signed; None if nowhere."""
    if notice.provider == "login":
        secret = settings.client_secret.get_secret_value()
        target = Target(switches.webhook_url, "TikTok-Signature", lambda body, at: login_signature(secret, at, body))
    else:
        secret = settings.shop_app_secret.get_secret_value()
        target = Target(
            switches.shop_webhook_url,
            "Authorization",
            lambda body, _at: shop_signature(settings.shop_app_key, secret, body),
        )
    return target if target.url else None


def build_world(settings: Settings) -> World:
    """Return a world that goes on where the state file ends; StateFileError if that cannot be used."""
    store = StateStore(settings.state_file)
    board = SwitchBoard(settings.switches)
    clock = SandboxClock(scale=settings.time_scale, resumed_from=store.anchor())
    store.save_anchor(clock.anchor())
    signer = Signer(store.key())
    grants = Grants(clock=clock, signer=signer, store=store, switches=board.current)
    for grant in store.grants():
        grants.adopt(grant)
    world = World(
        settings=settings,
        board=board,
        store=store,
        clock=clock,
        signer=signer,
        accounts=Accounts(seed=settings.seed, count=store.people("accounts")),
        sellers=Sellers(seed=settings.seed, count=store.people("sellers"), creators=settings.creators),
        catalogue=Catalogue(seed=settings.seed, videos=settings.videos),
        grants=grants,
        codes=Codes(clock=clock, ttl_seconds=lambda: board.now.code_ttl_seconds),
        shop_codes=Codes(clock=clock, ttl_seconds=lambda: board.now.shop_code_ttl_seconds),
        limiter=SlidingWindow(clock),
        faults=FaultScript(),
        ledger=Ledger(now=clock.now, keep=settings.ledger_events),
        dice=random.Random(settings.seed),
        outbox=Outbox(clock=clock, target=lambda notice: webhook_target(settings, board.now, notice)),
    )
    world.grow_accounts(settings.accounts)
    world.grow_sellers(settings.sellers)
    return world
