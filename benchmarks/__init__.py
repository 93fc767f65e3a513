"""Measurements that anybody can repeat on their own machine. They print JSON and change nothing."""
