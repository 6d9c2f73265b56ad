"""StoreService: the stores whose accounts are synced."""

from tokhub.sync.v1 import sync_pb2, sync_pb2_grpc

from libs.rpc.identity import Context
from services.sync.core.stores import USUAL_PAGE, Stores
from services.sync.domain.stores import StoreChanges, StoreDraft, StoreField
from services.sync.servicers.page_tokens import store_behind, store_token
from services.sync.servicers.translate import STANDINGS, store_message

USUAL_TEAM = 1


class StoreServicer(sync_pb2_grpc.StoreServiceServicer):
    """Translates and nothing else."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def CreateStore(self, request: sync_pb2.CreateStoreRequest, context: Context) -> sync_pb2.CreateStoreResponse:
        """Create a store."""
        draft = StoreDraft(
            store_code=request.store_code,
            store_name=request.store_name,
            pic_name=request.pic_name,
            pic_contact=request.pic_contact if request.HasField("pic_contact") else None,
            team_id=request.team_id if request.HasField("team_id") else USUAL_TEAM,
        )
        return sync_pb2.CreateStoreResponse(store=store_message(await self._stores.create(draft)))

    async def GetStore(self, request: sync_pb2.GetStoreRequest, context: Context) -> sync_pb2.GetStoreResponse:
        """Return one store."""
        return sync_pb2.GetStoreResponse(store=store_message(await self._stores.get(request.store_code)))

    async def ListStores(self, request: sync_pb2.ListStoresRequest, context: Context) -> sync_pb2.ListStoresResponse:
        """Return a page of stores."""
        size = request.page_size or USUAL_PAGE
        stores = await self._stores.page(
            after=store_behind(request.page_token),
            limit=size + 1,
            search=request.search,
            standing=STANDINGS.get(request.status),
        )
        shown, more = stores[:size], len(stores) > size
        return sync_pb2.ListStoresResponse(
            stores=[store_message(store) for store in shown],
            next_page_token=store_token(shown[-1].store_code) if more else "",
        )

    async def CountStores(self, request: sync_pb2.CountStoresRequest, context: Context) -> sync_pb2.CountStoresResponse:
        """Count stores by how they are connected."""
        counts = await self._stores.counts()
        return sync_pb2.CountStoresResponse(
            counts=[
                sync_pb2.StoreCount(status=status, stores=counts.get(standing, 0))
                for status, standing in STANDINGS.items()
            ]
        )

    async def UpdateStore(self, request: sync_pb2.UpdateStoreRequest, context: Context) -> sync_pb2.UpdateStoreResponse:
        """Change what was entered about a store."""
        store = await self._stores.change(request.store_code, changes_of(request))
        return sync_pb2.UpdateStoreResponse(store=store_message(store))

    async def DeleteStore(self, request: sync_pb2.DeleteStoreRequest, context: Context) -> sync_pb2.DeleteStoreResponse:
        """Disconnect and archive a store."""
        await self._stores.delete(request.store_code)
        return sync_pb2.DeleteStoreResponse()


def changes_of(request: sync_pb2.UpdateStoreRequest) -> StoreChanges:
    """Return what the mask names, or what is present when there is no mask."""
    present = {field: getattr(request, field) for field in StoreField if request.HasField(field.value)}
    paths = request.update_mask.paths
    return {StoreField(path): present.get(StoreField(path)) for path in paths} if paths else present
