"""Controlled comparisons: small models that differ in one thing, trained on the same data and scored by the same code.

scale     how large a study is: model, stages, seeds, scenes
arms      what is compared with what
training  one run: vision and offline stages that arms share, then the arm's own real-time stage
designs   how a model is driven while frames keep arriving: beside speech, between its words, or after it
scoring   everything that is measured of one trained run
timing    speed on this machine: first token, words, and streams of any length
compare   differences within a seed with intervals, and their range over seeds
verdicts  the decisions that were fixed before the first run
tables    the tables A to D
page      docs/study.md
runner    all of it, resumable, in one or two processes
"""
