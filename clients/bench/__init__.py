"""What forwarding costs: our node and others under the same clients."""
