"""The same server with a simpler model: a tree that asks one question. What an experiment compares the forest with."""

from __future__ import annotations

import server
from sklearn.tree import DecisionTreeClassifier

server.model = DecisionTreeClassifier(max_depth=1, random_state=7).fit(server.train_x, server.train_y)
app = server.app
