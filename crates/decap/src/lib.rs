//! Image and video captioning trained on text alone (DeCap).
