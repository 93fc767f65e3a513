"""What people do with a conversation, each act in the transaction of whoever asks for it."""
