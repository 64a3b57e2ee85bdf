"""Each benchmark end to end on its own annotations, without a picture: the oracle, and each blind rule by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_folders import NOTHING, blind_scores, folder_of

from vigil.eval.benchmarks import BENCHMARKS, benchmark
from vigil.eval.benchmarks.data import load_json
from vigil.eval.benchmarks.rtv_items import letter_of, probe_of, revision_groups
from vigil.eval.benchmarks.rtv_revision import rounds
from vigil.eval.benchmarks.runner import BenchConfig, blind_arms, play_case

Table = dict[tuple[str, str, str], float | None]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    """Benchmark -> (system, scorer, score) -> value."""
    return {name: blind_scores(name, folder_of(name, tmp_path_factory.mktemp("data"))) for name in BENCHMARKS}


NOT_100 = {"PA IoU", "gain", "commentary"}
"""One alert has IoU 0; the oracle leaves nothing to gain; its words do not end when the reference does."""


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_perfect_answerer_scores_100_everywhere(name: str, tables: dict[str, Table]) -> None:
    low = {score.name for score in benchmark(name).scores([]) if score.is_better_low}
    perfect = {key: value for key, value in tables[name].items() if key[0] == "oracle" and key[2] not in NOT_100}
    assert {key[2] for key, value in perfect.items() if value == pytest.approx(0.0)} == low
    assert all(value == pytest.approx(100.0) for key, value in perfect.items() if key[2] not in low)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_no_attack_on_the_parser_scores_strictly(name: str, tables: dict[str, Table]) -> None:
    about_letters = {"real-time", "contextual", "SQA", "backward", "choices", "revision", "per probe"}
    found = {key[2]: value for key, value in tables[name].items() if key[:2] == ("parse_attack", "strict")}
    assert {found[key] for key in about_letters & set(found)} <= {0.0}


HAND: dict[str, list[tuple[str, str, str, float | None]]] = {
    "streamingbench": [
        # longest option: only the first of four is right; contextual 1 of 1; SQA 1 of 2
        ("longest_option", "official", "real-time", 25.0),
        ("longest_option", "official", "contextual", 100.0),
        ("longest_option", "official", "SQA", 50.0),
        ("longest_option", "strict", "overall 4 parts", (25 + 100 + 50 + 0) / 4),
        # majority letter of the other video: D and D for objects, C for B and B for C for counting
        ("majority_letter", "official", "real-time", 50.0),
        ("majority_letter", "official", "contextual", None),  # nothing said: leaves the official denominator
        ("majority_letter", "strict", "contextual", 0.0),  # and stays in ours
        # waits 7 and 6 s: fitted on the other, 4 s is too early for the first, 5 s in time for the second
        ("echo_after_k", "official", "PO time", 50.0),
        ("echo_after_k", "official", "PO", 50.0),
        ("echo_after_k", "strict", "PO", 50.0),
        ("echo_after_k", "strict", "PO F1c@2", 0.0),
        ("parse_attack", "official", "SQA", 50.0),
        ("always_silent", "official", "real-time", None),
        ("always_silent", "strict", "real-time", 0.0),
        ("always_talk", "strict", "PO false/min", 60.0),
    ],
    "ovo": [
        ("longest_option", "official", "backward", 100 / 3),
        ("special_or_longest", "official", "backward", 200 / 3),
        ("special_or_majority", "strict", "backward", 100 / 3),
        ("longest_option", "strict", "real-time", 50.0),
        ("parse_attack", "official", "total", 200 / 3),  # "ABCD" holds every letter
        ("constant", "official", "REC", 100 / 3),
        ("constant", "official", "SSR", 50.0),
        ("constant", "official", "CRR", 60.0),
        ("constant", "official", "forward", (100 / 3 + 50 + 60) / 3),
        ("order_known", "official", "CRR", 100.0),
        ("constant", "strict", "REC TWA", 40.0),  # 0 holds for 4 of 10 s
        ("count_every_10_s", "strict", "REC TWA", 40.0),
        ("constant", "strict", "SSR TWA", 500 / 12),  # no step for 2 + 3 of 12 s
        # waits 5 and 8 s, each fitted on the other: 3 s late, and 3 s early
        ("echo_after_k", "strict", "CRR F1@2", 0.0),
        ("echo_after_k", "strict", "CRR F1@5", 50.0),
    ],
    "rtv": [
        # k-th letter: A B C right; A for B wrong, B right; A right
        ("kth_letter", "official", "accuracy", 500 / 6),
        ("kth_letter", "official", "score", 50.0),  # the second group's basic question is wrong
        ("letter_a", "official", "accuracy", 200 / 6),
        ("letter_a", "official", "score", 0.0),
        ("majority_letter", "official", "accuracy", 200 / 6),
        ("never_revise", "strict", "PCA", 0.0),
        ("never_revise", "strict", "STAB", 60.0),
        ("never_revise", "strict", "stuck", 100.0),
        ("never_revise", "strict", "STAB natural", 100.0),
        ("always_silent", "strict", "revision", 0.0),
    ],
    "river": [
        ("longest_option", "strict", "choices", 50.0),
        ("longest_option", "strict", "Retro-Memory@short", 100.0),
        ("majority_letter", "strict", "choices", 0.0),
        # waits 8 and 4 s, each fitted on the other: 5 s early, and 3 s late
        ("echo_after_k", "strict", "Instant F1@2", 0.0),
        ("echo_after_k", "strict", "Instant F1@5", 50.0),
        ("echo_after_k", "strict", "Instant false/min", 5.0),  # once in 8 + 4 s of waiting
        ("echo_after_k", "strict", "commentary F1", 50.0),  # 1 match of 1 said and 3 due
    ],
    "omnimmi": [
        ("always_silent", "official", "PA accuracy", 0.0),
        ("always_silent", "official", "PT accuracy", 100.0),
        ("always_silent", "strict", "PT balanced", 50.0),
        ("answers_always", "official", "PT accuracy", 0.0),
        ("answers_always", "strict", "PT balanced", 50.0),
        # each fitted on the other: 8 s lies in [6, 10], 6 s not in [8, 14]
        ("echo_after_k", "official", "PA accuracy", 50.0),
        ("echo_after_k", "strict", "PA F1", 50.0),
        ("always_talk", "official", "PA accuracy", 0.0),
        # once per second up to 25 s and 29 s; what is said in the first second is discarded
        ("always_talk", "official", "PA precision", 50 * (5 / 25 + 7 / 29)),
    ],
    "proactive": [
        ("always_silent", "official", "mean of 4 subsets", 12.5),
        ("always_silent", "strict", "mean of 4 subsets", 12.5),
        ("always_talk", "official", "WEB", 0.0),  # a wrong reply scores below silence
        # waits 10, 4, 10, 6 s: fitted 6 (outside), 10 (inside), 6 (outside), 10 (inside), all of them wrong
        ("echo_after_k", "official", "EGO", 100 * 0.5 * 3 / 32),
        ("echo_after_k", "official", "mean of 4 subsets", 100 * (0.125 + 1.5 / 32 + 0.125 + 1 / 24) / 4),
        ("echo_after_k", "strict", "outside", 50.0),
        ("echo_after_k", "strict", "false/min", 4.0),  # twice in 10 + 4 + 10 + 6 s
    ],
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_blind_rule_scores_what_the_annotations_give_by_hand(name: str, tables: dict[str, Table]) -> None:
    found = {key: tables[name][key[:3]] for key in HAND[name]}
    assert found == {key: None if key[3] is None else pytest.approx(key[3]) for key in HAND[name]}


def test_the_kth_letter_after_shuffling_is_right_where_the_shuffle_puts_it(
    tables: dict[str, Table], tmp_path: Path
) -> None:
    groups = revision_groups([probe_of(row, where) for where, row in load_json(folder_of("rtv", tmp_path), "QA.json")])
    right = [one["reask"].right[k] == "ABC"[k] for one in map(rounds, groups) for k in range(len(one["reask"].right))]
    twin = [one["twin"].right[k] == "ABC"[k] for one in map(rounds, groups) for k in range(len(one["twin"].right))]
    both = [a and b for a, b in zip(right, twin, strict=True)]
    assert sum(both) < sum(twin)
    assert tables["rtv"]["kth_letter", "strict", "per probe"] == pytest.approx(100 * sum(right) / 5)
    assert tables["rtv"]["kth_letter", "strict", "STAB"] == pytest.approx(100 * sum(both) / 5)


def test_shuffling_moves_letters_and_keeps_texts(tmp_path: Path) -> None:
    probes = [probe_of(row, where) for where, row in load_json(folder_of("rtv", tmp_path), "QA.json")]
    group = revision_groups(probes)[0]
    for one in rounds(group).values():
        for probe, offered, letter in zip(group, one.options, one.right, strict=True):
            assert sorted(offered.values()) == sorted(probe.options.values())
            assert offered[letter] == probe.truth
            assert letter_of(offered, probe.truth) == letter
    assert rounds(group)["reask"].options != rounds(group)["twin"].options
    assert rounds(group, is_shuffled=False)["reask"].right == ("A", "B", "C")


def test_the_official_poll_stops_at_the_first_yes_and_withholds_what_comes_after(tmp_path: Path) -> None:
    cases = benchmark("streamingbench").read(folder_of("streamingbench", tmp_path))
    case = next(case for case in cases if case.id == "proactive-0000" and case.scorer == "official")
    plan = case.play()
    streams = [next(plan)]
    oracle = next(arm for arm in blind_arms(cases) if arm.name == "oracle")
    played = play_case(case, oracle, None, BenchConfig(), keeper=NOTHING)
    assert (streams[0].start_s, streams[0].asks[0].t, streams[0].holds) == (2.0, 1.0, True)
    assert played.mark.replies == ("GREEN",)
