import pytest

from quickstep.evaluation.source import source_digest, source_files


def stems(*modules, **options):
    return {path.stem for path in source_files(*modules, **options)}


def test_a_module_counts_with_all_that_it_imports():
    assert stems("evaluation.frechet") == {"frechet"}
    assert stems("evaluation.motion") >= {"motion", "frames", "windows"}
    assert "animator" not in stems("evaluation.motion")


def test_what_is_left_out_takes_along_what_only_it_imports():
    whole = stems("evaluation.disco")
    assert whole == {"disco", "frames"} | (whole - {"disco", "frames"})
    assert stems("evaluation.disco", besides=("evaluation.frames",)) == whole - {"frames"}


def test_judging_is_the_metrics_not_the_models_the_tables_or_the_data():
    judging = stems("evaluation.judging", besides=("networks.folder",))
    assert judging >= {"metrics", "disco", "frames", "motion", "people", "lpips", "inception"}
    assert not judging & {"report", "summary", "statistics", "animator", "samples", "render"}


def test_each_set_of_modules_has_a_digest_of_its_own():
    digests = {source_digest(name) for name in ("evaluation.frames", "evaluation.motion")}
    assert len(digests) == 2
    assert source_digest("evaluation.frames") in digests


def test_an_unknown_module_is_refused():
    with pytest.raises(ValueError, match="quickstep has no module 'evaluation.nothing'"):
        source_files("evaluation.nothing")
