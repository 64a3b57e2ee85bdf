"""Speed and memory of a model with two channels, beside its decoder-only twin and Qwen2.5-VL, in one run.

The words used everywhere here:

* **TTFT**, offline: from resized frames in host memory and a question to the first token of the answer on the host.
  Vision encoder and prefill are inside; decoding and resizing of the video make a second figure, counted on both
  sides.
* **TTFT**, streaming (`ttft_question_s`): from a question to its first visible text, the frames having been seen.
* **inter-token gap**: from one spoken token to the next, on the wall clock, as a session speaks them.
* **decoder's share of prefill**: what is left of the offline TTFT without the vision encoder: the cross layers' keys
  and values, and every pass of the decoder up to the first token.

Weights are random: speed does not depend on them. Replies have equal length for all, with tokens that are forced.
"""
