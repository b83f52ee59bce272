"""Recipes at toy size: what to change of each so that its run takes seconds."""

CLIPS = {"data.num_clips": "4", "data.num_frames": "4", "data.size": "32"}
PEOPLE = {"data.num_clips": "12"}
TOY = {
    "train.num_steps": "2",
    "train.warmup_steps": "0",
    "train.precision": "fp32",
    "train.prefetch": "0",
    "train.log_every": "1",
}
ADAPTER = {"adapter.rank": "2", "adapter.alpha": "2"}
MIX = {"clips.lengths": "2,4", "clips.clips": "2,1", "clips.shares": "1,1"}
SHAPE = {"network.width": "32", "network.multipliers": "1,1", "network.attn_scales": "1.0"}
CHAMP = {
    "network.widths": "16,16",
    "network.attend": "true,false",
    "network.num_heads": "4",
    "network.norm_num_groups": "4",
    "network.map_widths": "8,8,16",
    "network.map_groups": "4",
}


def changes(kind: str) -> dict[str, str]:
    extra = {
        "vae": {"widths": "8,8,8", "batch_size": "2", "crop": "16", "train.preview_every": "1"},
        "clip": {**PEOPLE, "width": "16", "layers": "1", "embedding": "16", "batch_size": "4"},
        "unianimate": {**MIX, **SHAPE},
        "champ-frames": {**CHAMP, "clips.clips": "2"},
        "champ": {**CHAMP, **MIX, "train.preview_every": "2"},
    }
    return CLIPS | TOY | extra.get(kind, {**MIX, "train.preview_every": "2"})
