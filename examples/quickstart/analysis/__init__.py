"""What the portfolio saved, computed from what every model answered to every item."""
