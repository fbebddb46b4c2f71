"""Comparisons of runs: calibrated on simulated runs, and what they say."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thaw.reporting.comparisons import Comparison, compared
from thaw.reporting.finished import FinishedRun
from thaw.reporting.groups import group_by_seed
from thaw.reporting.significance import Difference, holm, power
from thaw.reporting.verdicts import headline

N = 1000


def run(seed: int, fid: float, *overrides: str, **record: Any) -> FinishedRun:
    """A completed run with a final FID."""
    choices = dict(part.split("=", 1) for part in overrides if "=" in part)
    scores = {"final/fid": fid, "final/n": N, "epoch": 1} | record.pop("final_scores", {})
    whole = {
        "status": "completed",
        "seed": seed,
        "overrides": [*overrides, f"seed={seed}"],
        "choices": choices,
        "config": {"model": {"activation": choices.get("model.activation", "gelu")}},
        "encoder": "mnist",
        "final_scores": scores,
    }
    return FinishedRun(Path(f"{'_'.join(overrides)}_{seed}"), whole | record)


def compare(runs: Sequence[FinishedRun], *keys: str) -> list[Comparison]:
    return compared(group_by_seed(runs), keys)


def simulated(
    rng: np.random.Generator, effect: float, num_seeds: int, spread: float = 1.0
) -> Comparison:
    """Blur against fade: both have what the seed gives, and each what is its own."""
    shared = 5 * rng.standard_normal(num_seeds)
    runs = [
        run(
            seed,
            20 + shared[seed] + k * effect + spread * rng.standard_normal(),
            f"degradation={name}",
        )
        for k, name in enumerate(("blur", "fade"))
        for seed in range(num_seeds)
    ]
    (found,) = compare(runs, "degradation")
    return found


def many(number: int, effect: float, num_seeds: int) -> Iterator[Comparison]:
    rng = np.random.default_rng(0)
    return (simulated(rng, effect, num_seeds) for _ in range(number))


def test_of_a_thousand_comparisons_of_equals_five_percent_are_called() -> None:
    called = sum(each.is_called for each in many(1000, 0.0, 3))
    assert 34 <= called <= 67  # within 2.4 standard deviations of 50


@pytest.mark.parametrize("num_seeds", [3, 5, 10])
def test_an_effect_of_twice_its_error_is_found_as_often_as_predicted(num_seeds: int) -> None:
    std = 2**0.5  # of a difference of two runs
    effect = 2 * std / num_seeds**0.5
    predicted = power(effect, std, num_seeds)
    found = list(many(1000, effect, num_seeds))
    share = np.mean([each.is_called for each in found])
    assert share == pytest.approx(predicted, abs=3 * (predicted * (1 - predicted) / 1000) ** 0.5)
    assert np.mean([each.verdict == "worse" for each in found if each.is_called]) > 0.98


def test_the_intervals_hold_the_true_difference_in_95_percent() -> None:
    held = [low <= 3 <= high for low, high in (e.difference.interval for e in many(1000, 3.0, 4))]
    assert 0.93 < np.mean(held) < 0.97


def test_as_many_seeds_as_it_says_find_it_in_80_percent() -> None:
    needed = Difference(1.0, 2**0.5, 3).pairs_needed()
    assert needed is not None
    assert power(1.0, 2**0.5, needed) >= 0.8 > power(1.0, 2**0.5, needed - 1)
    share = np.mean([each.is_called for each in many(1000, 1.0, needed)])
    assert share == pytest.approx(power(1.0, 2**0.5, needed), abs=0.04)


def test_of_many_comparisons_of_equals_hardly_any_family_has_a_call() -> None:
    """Five degradations, ten pairs: without a correction some 29 % of the families have one."""
    rng = np.random.default_rng(1)
    names = ("blur", "fade", "pixelate", "snow", "zoom")
    simulated_runs = [
        [run(s, rng.standard_normal(), f"degradation={n}") for n in names for s in range(4)]
        for _ in range(300)
    ]  # fmt: skip
    families = [compare(runs, "degradation") for runs in simulated_runs]
    assert {len(family) for family in families} == {10}
    with_call = np.mean([any(each.is_called for each in family) for family in families])
    uncorrected = np.mean([any(e.difference.p_value < 0.05 for e in family) for family in families])
    assert with_call < 0.08 < 0.2 < uncorrected
    # What is not called takes more seeds than there are, for as many comparisons.
    settle = [each.to_settle for family in families for each in family if not each.is_called]
    seeds = [int(words.split()[0]) for words in settle if words[0].isdigit()]
    assert len(seeds) > 100
    assert min(seeds) > 4


def test_holm_equals_the_textbook() -> None:
    # Holm 1979: the smallest p times m, the next times m - 1, ..., never decreasing.
    found = holm([0.01, 0.04, 0.03, 0.005, float("nan")])
    assert found[:4] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert np.isnan(found[4])


def test_power_equals_published_values() -> None:
    # Cohen 1988, table 2.3.5 (one sample: n, d) and G*Power 3.1's example of a paired test.
    assert power(0.5, 1.0, 34) == pytest.approx(0.8078, abs=1e-4)
    assert power(0.0, 1.0, 10) == pytest.approx(0.05)
    assert power(100.0, 1.0, 3) == 1


RUNS = [
    run(seed, fid + seed, f"degradation={name}", f"model.activation={activation}")
    for seed in range(3)
    for name, activation, fid in [
        ("blur", "gelu", 10.0), ("blur", "selu", 12.0 + 0.1 * seed),
        ("fade", "gelu", 18.1 - 0.1 * seed), ("fade", "selu", 18.0 + seed**3),
    ]
]  # fmt: skip


def test_compares_what_is_alike_in_all_else() -> None:
    found = compare(RUNS, "degradation")
    assert [(e.first, e.second, e.rest) for e in found] == [
        ("blur", "fade", "model.activation=gelu"),
        ("blur", "fade", "model.activation=selu"),
    ]
    assert found[0].difference.mean == pytest.approx(8.0)
    assert [each.verdict for each in found] == ["worse", "not distinguishable"]
    by_value = compare(RUNS, "model.activation")
    assert {(e.first, e.second) for e in by_value} == {("gelu", "selu")}
    assert [each.verdict for each in by_value] == ["worse", "not distinguishable"]


def test_a_group_s_own_keys_belong_to_its_value() -> None:
    names = ("degradation=bridge degradation/to=blur", "degradation=bridge degradation/to=fade")
    runs = [run(s, 10 * k + 0.1 * s * k, *n.split()) for k, n in enumerate(names) for s in (0, 1)]
    (found,) = compare(runs, "degradation")
    assert found.second == "bridge degradation/to=fade"


def test_runs_that_differ_in_more_are_compared_by_all_alone() -> None:
    runs = [
        run(s, 5 * k + s * k / 9, *n)
        for k, n in enumerate([("degradation=blur",), ("degradation=gaussian", "schedule=cosine")])
        for s in (0, 1)
    ]
    with pytest.raises(ValueError, match="compare=degradation: no two completed runs"):
        compare(runs, "degradation")
    (found,) = compare(runs, "all")
    assert found.second == "degradation=gaussian schedule=cosine"
    failed = [run(0, 1.0, "degradation=blur"), run(0, 2.0, "degradation=fade", status="failed")]
    with pytest.raises(ValueError, match="compare=all"):
        compare(failed, "all")


def test_scores_of_different_numbers_of_images_are_never_compared() -> None:
    runs = [
        run(0, 1.0, "degradation=blur"),
        run(0, 2.0, "degradation=fade", final_scores={"final/n": 99}),
    ]
    with pytest.raises(ValueError, match="alike in all else"):
        compare(runs, "degradation")


def test_one_seed_has_no_error_unless_it_has_draws() -> None:
    (alone,) = compare(
        [run(0, 1.0, "degradation=blur"), run(0, 2.0, "degradation=fade")], "degradation"
    )
    assert (alone.verdict, alone.to_settle) == ("one seed: no error known", "more seeds")
    assert headline([alone]) == [
        "blur against fade: FID 1.00 lower at N = 1,000.",
        "One seed each: nobody can say whether that is more than chance.",
    ]
    rng = np.random.default_rng(0)
    shared = rng.standard_normal(5)
    drawn = []
    for k, name in enumerate(("blur", "fade")):
        fids = k + shared + 0.1 * rng.standard_normal(5)
        scores = {"final/draws": [{"fid": fid} for fid in fids]}
        drawn.append(run(0, fids.mean(), f"degradation={name}", final_scores=scores))
    (found,) = compare(drawn, "degradation")
    assert found.verdict == "worse (these two models)"
    assert 0.02 < found.difference.error < 0.1  # the draws share their x_T
    (words,) = headline([found])
    assert "5 draws of one seed, N = 1,000" in words
    assert words.endswith("Another training of either may turn it round.")


def evaluation(fid: float, num_draws: int, n: int) -> dict[str, Any]:
    scores = {"fid": fid, "fid_error": 0.1, "n": n, "num_draws": num_draws}
    return {"generated": scores, "settings": {"num_draws": num_draws, "num_samples": n}}


def test_the_evaluation_of_most_images_that_all_runs_have_takes_the_place_of_final_scores() -> None:
    runs = [run(s, 0.0, f"degradation={n}") for n in ("blur", "fade") for s in range(3)]
    for k, each in enumerate(runs):
        each.evaluations += [evaluation(1.0 + k, 2, 500), evaluation(2.0 + k, 5, 400)]
    runs[0].evaluations.append(evaluation(99.0, 9, 9000))  # which the others lack
    (found,) = compare(runs, "degradation")
    assert (found.means, found.num_images) == ((3.0, 6.0), 400)
    assert found.sampling == pytest.approx(0.1 * 2**0.5)


def test_more_images_help_as_far_as_sampling_is_the_cause() -> None:
    def found(error: float) -> Comparison:
        spread = (-1.0, 0.2, 0.8)
        runs = [
            run(s, 10.0 + k * (1.0 + spread[s]), f"degradation={n}",
                final_scores={"final/fid_error": error})
            for k, n in enumerate(("blur", "fade")) for s in range(3)
        ]  # fmt: skip
        return compare(runs, "degradation")[0]

    mostly_sampling, mostly_training = found(0.66), found(0.1)
    assert mostly_sampling.to_settle == "9 seeds or N = 10,000 with these seeds"
    assert mostly_training.to_settle == "9 seeds"


def test_says_which_is_better_in_words() -> None:
    found = compare(RUNS, "degradation")
    assert headline(found) == [
        "blur is better than fade (model.activation=gelu): "
        "FID 8.00 lower, 7.75 to 8.25 (95 %), 3 seeds, N = 1,000.",
        "blur and fade (model.activation=selu) are not distinguishable by FID at N = 1,000, "
        "3 seeds: 8.90 lower with blur, -1.70 to 19.50 (95 %). To settle it: 5 seeds.",
    ]
