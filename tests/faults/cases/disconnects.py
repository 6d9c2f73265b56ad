"""A process dies between the journal entry and the row of a disconnect, and the database is put back."""

from tokhub.token.v1 import token_pb2

from libs.errors import TokhubError
from tests.faults.case import case, expect
from tests.faults.lab import Lab
from tests.faults.processes import Replica
from tests.faults.products import reference
from tests.faults.servers import copy_data, restore_data
from tests.faults.waiting import until


async def disconnect_and_die(lab: Lab) -> Replica:
    """Connect a store, and kill its replica once the end of it is journaled and its row is as it was."""
    lab.allowed.ended.add("shop-1")
    replica = await lab.replica(fail="journaled=kill9@2")  # the first entry is that of the connect
    await lab.connect(replica, "shop-1")
    await copy_data(lab)
    await until("ready again", replica.serving)
    try:
        await replica.connections.Disconnect(token_pb2.DisconnectRequest(connection=reference("shop-1")))
    except TokhubError:
        await replica.ended()
    expect(await lab.status("shop-1") == "ACTIVE", f"the row is {await lab.status('shop-1')} already")
    return replica


async def ended_by_the_heir(lab: Lab) -> str:
    """Start an heir; return how the store is, and how long its grant lived on at TikTok."""
    await lab.replica("heir")
    status = await lab.status("shop-1")

    async def is_ended() -> bool:
        return not any(grant["live_refresh_token"] for grant in (await lab.ledger("shop-1"))["grants"])

    took = await until("the grant ended at TikTok", is_ended, within=90)
    expect(status == "DISCONNECTED", status)
    return f"{status} as soon as the heir serves; no living grant at TikTok {took:.1f} s later"


@case(
    "C06 died",
    fault="kill -9 after the entry of a disconnect in the journal, before its row",
    expected="the heir carries it out before it serves, and ends the grant",
)
async def died_before_the_row(lab: Lab) -> str:
    await disconnect_and_die(lab)
    return await ended_by_the_heir(lab)


@case(
    "C06 put back",
    fault="the disconnect is carried out, its replica killed, and the database put back to a copy from before it",
    expected="the replay ends the connection again, and no store comes back to life",
)
async def died_and_put_back(lab: Lab) -> str:
    replica = await disconnect_and_die(lab)
    heir = await lab.replica("first heir")
    expect(await lab.status("shop-1") == "DISCONNECTED", await lab.status("shop-1"))
    await heir.kill()
    expect(not replica.alive, "the first replica lives")
    await restore_data(lab)
    expect(await lab.status("shop-1") == "ACTIVE", await lab.status("shop-1"))
    return await ended_by_the_heir(lab)
