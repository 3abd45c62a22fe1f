"""A finished item leaves nothing in memory: a batch may be of any length."""

import gc

from agent.batch.engine import Engine, NullWorker
from agent.batch.folder import BatchFolder
from agent.batch.items import Item, ItemOptions
from agent.batch.runner import Batch
from agent.batch.scene import BatchSettings, Scene
from agent.offline import OfflinePlanner
from agent.render import RenderSettings


def test_a_finished_scene_is_gone_without_the_garbage_collector(tmp_path):
    folder, engine = BatchFolder.open(tmp_path / "out", {}), Engine([NullWorker])
    items = [Item(f"i{n}", "two red balls in a blue cup", None, n, ItemOptions(), "") for n in range(12)]
    gc.collect()
    gc.disable()
    try:
        Batch(folder, items, OfflinePlanner(), engine, BatchSettings("tiny", (64, 64), 2, RenderSettings(), True)).run()
        assert len(folder.known) == len(items)
        assert not [one for one in gc.get_objects() if type(one) is Scene]
    finally:
        gc.enable()
        engine.close()
        folder.close()
