"""The whole sandbox as one value: everything the web routes work on."""

import random
from dataclasses import dataclass

from sandbox.accounts import Accounts
from sandbox.clock import SandboxClock
from sandbox.codes import Codes, Consent, ShopConsent
from sandbox.content import Catalogue
from sandbox.faults import FaultScript
from sandbox.grants import Grants
from sandbox.ledger import Ledger
from sandbox.limiter import SlidingWindow
from sandbox.sellers import Sellers
from sandbox.settings import Settings, Switches
from sandbox.signing import Signer
from sandbox.store import StateStore


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
        catalogue=Catalogue(seed=settings.seed),
        grants=grants,
        codes=Codes(clock=clock, ttl_seconds=lambda: board.now.code_ttl_seconds),
        shop_codes=Codes(clock=clock, ttl_seconds=lambda: board.now.shop_code_ttl_seconds),
        limiter=SlidingWindow(clock),
        faults=FaultScript(),
        ledger=Ledger(now=clock.now, keep=settings.ledger_events),
        dice=random.Random(settings.seed),
    )
    world.grow_accounts(settings.accounts)
    world.grow_sellers(settings.sellers)
    return world
