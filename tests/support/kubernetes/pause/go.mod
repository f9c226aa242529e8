module tests/pause

go 1.24
