"""Every tunable of the platform, in one frozen tree. A leaf, read by serve and cluster alone."""
