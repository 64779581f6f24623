"""Few channels: numbers other than pixels or output channels in the lanes.

samples, samples_weight     samples or groups in the lanes, for few channels and many samples
channels, channels_weight   the channels of several groups in the lanes, for groups of few
sample_tiles                what both share
by_samples, by_channels     for which geometries they may pay; loops: what tries them first
"""
