"""What the engines do beside the contract: how they wait, try again, and are closed."""
