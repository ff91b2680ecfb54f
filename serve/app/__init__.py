"""The application of app users: their stations, their charges, and with whom they share."""
