"""Trains what a study compares: the same teacher, data and compute for every contender and seed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from quickstep.config import digest, with_changes
from quickstep.data.dancer import TEST_START, VALIDATION_START
from quickstep.data.prepared import DancerData, Report, prepare_dancer
from quickstep.data.shards import ShardData
from quickstep.evaluation.protocols import find_protocol
from quickstep.evaluation.reproduction.study import Contender
from quickstep.networks.encoders import weights_digest
from quickstep.networks.folder import SETTINGS_FILE, find_model, load_model, read_settings
from quickstep.training.checkpoint import latest_checkpoint, read_step
from quickstep.training.config import FREE_ON_RESUME
from quickstep.training.recipe_kinds import DistillationRecipe, PeRFlowRecipe, StudentRecipe
from quickstep.training.recipes import Family, find_recipe, full_cost, recipe_name
from quickstep.training.runs import run_recipe

PROTOCOL = "dancer"
"""By which all studies are judged."""
FIRST_SEEDS = {"validation": VALIDATION_START, "test": TEST_START}
TEACHERS = {
    ("dancer", "unianimate"): "dancer-unianimate-teacher",
    ("dancer", "champ"): "dancer-champ-teacher",
}
"""The shipped teachers by size and family; another's is its run."""

OWN_FIELDS = {
    "train.num_steps": "the budget sets it: --budget or --evaluations",
    "train.seed": "every student is trained with several: --seeds",
    "teacher": "it is one for all: --teacher",
    "start": "a student begins as its teacher, or as its own first phase",
}
"""Fields of recipes that a study sets itself, and what to say instead."""

Say = Callable[[str], None]
"""Takes lines about what is going on."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is the same for all contenders.

    Attributes:
        size: of the recipes, ``dancer`` or ``lab``.
        family: of the teacher, ``unianimate`` or ``champ``.
        teacher: a model; empty for the size's own of that family.
        evaluations: network evaluations (forward passes of a clip) that a contender may spend
            on each clip of its batches: the budget, from which its number of steps follows. It is
            stated for DanceLCM's batches; other batches are counted by their frames.
        preset: of the dancer; None for the recipe's.
        judged: of the dancer for the judged clips alone; None for the same.
        clips: unseen clips to judge.
        frames: frames of each.
        split: ``test``, or ``validation`` to choose by.
        changes: further fields for all recipes, as ``--set`` takes them.
        home: folder of all runs.
    """

    size: str = "dancer"
    family: Family = "unianimate"
    teacher: str = ""
    evaluations: int = 600
    preset: str | None = None
    judged: str | None = None
    clips: int = 64
    frames: int = 16
    split: str = "test"
    changes: Mapping[str, str] = field(default_factory=dict)
    home: Path = Path("runs")

    def __post_init__(self) -> None:
        """Refuses a split, a number or a change that cannot be meant."""
        if self.split not in FIRST_SEEDS:
            raise ValueError(f"split must be one of {', '.join(FIRST_SEEDS)}: got {self.split!r}")
        # Two clips: a Frechet distance needs a spread.
        for name, least in (("evaluations", 1), ("clips", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}: got {getattr(self, name)}")
        window = find_protocol(PROTOCOL).window
        if self.frames < window:
            raise ValueError(
                f"frames must be at least {window}, a window of the protocol {PROTOCOL!r}: "
                f"got {self.frames}"
            )
        for name in self.changes.keys() & OWN_FIELDS.keys():
            raise ValueError(f"--set {name} has no effect on a study: {OWN_FIELDS[name]}")

    @property
    def teacher_model(self) -> str:
        """The teacher's name or folder."""
        if self.teacher:
            return self.teacher
        shipped = TEACHERS.get((self.size, self.family))
        return shipped or str(self.home / f"{self.family}_{self.size}" / "model")

    def recipe_name(self, contender: Contender) -> str:
        """The name of a contender's recipe for this teacher and size."""
        return recipe_name(contender.recipe, self.size, family=self.family)


def contender_recipe(
    contender: Contender, terms: Terms, *, seed: int, rate: float | None = None
) -> DistillationRecipe:
    """The recipe of a contender on these terms.

    Args:
        contender: who.
        terms: what is the same for all.
        seed: of noise, times and order of the clips.
        rate: learning rate; None for the recipe's.

    Raises:
        ValueError: no such recipe or field, no distillation, one of real clips, or a change that
            this student cannot have.
    """
    _expect_effect(contender, terms)
    recipe = find_recipe(terms.recipe_name(contender))
    if not isinstance(recipe, StudentRecipe | PeRFlowRecipe):
        raise ValueError(f"{terms.recipe_name(contender)} distils nothing")
    recipe = with_changes(recipe, {**contender.changes, **terms.changes})
    data = _dancers_of(recipe)
    data = data if terms.preset is None else replace(data, preset=terms.preset)
    budget = terms.evaluations * contender.share * _budget_frames(terms)
    cost = full_cost(recipe.method, recipe.clips) * recipe.clips.mean_frames
    steps = max(1, round(budget / cost))
    train = replace(
        recipe.train,
        num_steps=steps,
        seed=seed,
        warmup_steps=min(recipe.train.warmup_steps, steps // 10),
        learning_rate=recipe.train.learning_rate if rate is None else rate,
    )
    recipe = replace(recipe, data=data, teacher=terms.teacher_model, train=train)
    if contender.start is None:
        return recipe
    before = contender_recipe(contender.start, terms, seed=seed, rate=rate)
    # By name, so that what names this run does not depend on where runs are.
    return replace(recipe, start=run_folder(contender.start, before, terms).name)


def expect_recipes(
    contenders: Iterable[Contender], terms: Terms, *, rates: Mapping[str, Sequence[float]]
) -> None:
    """Refuses a teacher or what the recipe of any student would, before the first is trained.

    Args:
        contenders: who shall be trained.
        terms: what is the same for all.
        rates: learning rates of contenders by name; the recipe's where there are none.

    Raises:
        ValueError: as `contender_recipe`; or there is no such teacher of this family.
    """
    _expect_family(terms)
    for contender in contenders:
        for rate in rates.get(contender.name) or (None,):
            contender_recipe(contender, terms, seed=0, rate=rate)


def _expect_family(terms: Terms) -> None:
    """Refuses a teacher of the other family, whose recipes have other noise and other parts.

    Raises:
        ValueError: there is no such teacher, or it is of the other family.
    """
    found = read_settings(find_model(terms.teacher_model)).family
    if found != terms.family:
        raise ValueError(
            f"teacher {terms.teacher_model} is of the family {found}: set --family {found}"
        )


def _expect_effect(contender: Contender, terms: Terms) -> None:
    """Refuses a change for all that would undo what a contender is, or that the study undoes."""
    for name in terms.changes:
        for own, value in contender.changes.items():
            if f"{name}.".startswith(f"{own}.") or f"{own}.".startswith(f"{name}."):
                raise ValueError(
                    f"--set {name} cannot be for all: {contender.name} is the student with "
                    f"{own}={value}; leave its rows out with --rows"
                )
    if terms.preset is not None and "data.preset" in terms.changes:
        raise ValueError(f"--set data.preset has no effect on a study of {terms.preset!r}")


def _dancers_of(recipe: DistillationRecipe) -> DancerData:
    """The procedural dancers that a recipe learns from: a study judges unseen ones of the kind."""
    data = recipe.data
    if not isinstance(data, DancerData):
        names = ("shards", data.shards) if isinstance(data, ShardData) else ("folder", data.folder)
        raise ValueError(
            "a study is of procedural dancers, whose unseen kin it judges: got "
            f"data.{names[0]}={names[1]!r}; take it out of --set"
        )
    return data


def _budget_frames(terms: Terms) -> float:
    """Frames of the batches for which the budget is stated."""
    stated = with_changes(find_recipe(f"dancelcm_{terms.size}"), dict(terms.changes))
    assert isinstance(stated, StudentRecipe)
    return stated.clips.mean_frames


def run_folder(contender: Contender, recipe: DistillationRecipe, terms: Terms) -> Path:
    """Where a contender's run lives: its content names it, the teacher's weights included.

    What changes nothing that is learned, as how the run is watched, does not, nor does the
    contender's own name.
    """
    train = recipe.train
    free = FREE_ON_RESUME - {"num_steps", "decay_fraction"}
    plain = {each.name: each.default for each in fields(train) if each.name in free}
    teacher = _weights_of(terms.teacher_model)
    content = digest(replace(recipe, teacher=teacher, train=replace(train, **plain)))
    return terms.home / f"{contender.recipe}_{terms.size}-{content[:8]}-seed{train.seed}"


@cache
def _weights_of(model: str) -> str:
    """The digest of a teacher's weights, which every phase of every contender asks for."""
    return weights_digest([load_model(model).network])


def is_trained(
    contender: Contender, terms: Terms, *, seed: int, rate: float | None = None
) -> tuple[Path, bool]:
    """The folder of a contender's run, and whether all its steps are done and exported.

    A run that was stopped is exported, too.
    """
    recipe = contender_recipe(contender, terms, seed=seed, rate=rate)
    folder = run_folder(contender, recipe, terms)
    return folder, _is_finished(folder, recipe)


def _is_finished(folder: Path, recipe: DistillationRecipe) -> bool:
    place = latest_checkpoint(folder)
    done = 0 if place is None else read_step(place)
    return done >= recipe.train.num_steps and (folder / "model" / SETTINGS_FILE).is_file()


def trained(
    contender: Contender,
    terms: Terms,
    *,
    seed: int,
    rate: float | None = None,
    report: Report | None = None,
    say: Say = lambda line: None,
    device: Any = "cpu",
) -> Path:
    """The exported student of a contender: from an earlier call, or trained now, or gone on with.

    Returns:
        Its model folder.

    Raises:
        ValueError: as `contender_recipe`; or the teacher cannot be found.
        KeyboardInterrupt: the training was asked to stop; it has saved what was done.
    """
    recipe = contender_recipe(contender, terms, seed=seed, rate=rate)
    folder = run_folder(contender, recipe, terms)
    if _is_finished(folder, recipe):
        return folder / "model"
    if contender.start is not None:
        options: dict[str, Any] = {"report": report, "say": say, "device": device}
        trained(contender.start, terms, seed=seed, rate=rate, **options)
    count = recipe.train.num_steps
    say(f"training {folder.name}: {count} step{'s' * (count != 1)}")
    result = run_recipe(
        terms.recipe_name(contender),
        recipe=recipe,
        resume=folder.exists(),
        run_folder=folder,
        report=report,
        device=device,
    )
    if result.step < recipe.train.num_steps:
        raise KeyboardInterrupt
    return folder / "model"


def unseen_clips(terms: Terms, *, report: Report | None = None) -> Path:
    """The clips to judge: a prepared set of persons that no recipe has seen."""
    recipe = with_changes(find_recipe(f"dancelcm_{terms.size}"), dict(terms.changes))
    assert isinstance(recipe, StudentRecipe)
    known = _dancers_of(recipe)
    data = replace(
        known,
        num_clips=terms.clips,
        num_frames=terms.frames,
        first_seed=FIRST_SEEDS[terms.split],
        preset=terms.judged or terms.preset or known.preset,
    )
    folder = terms.home / "data" / f"dancer-{digest(data)}"
    prepare_dancer(folder, data, report=report)
    return folder
