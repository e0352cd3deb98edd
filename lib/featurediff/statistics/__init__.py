"""Is a change real? Tests of numbers and tables; nothing here knows a network or a picture's file."""
