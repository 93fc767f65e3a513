"""What all channels share: the contract, the failures, the registry, text limits and the chat element."""
