"""torch and transformers, on Debian's torch 1.13; newer ones cannot be had here as builds for CPUs."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from support.frameworks import environment, recording, run, torch_python

pytestmark = [pytest.mark.engine, pytest.mark.slow]

TORCH = """
import json, sys
import torch
file = sys.argv[1]
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
rows = torch.randn(6, 4)
model.train()
model(rows).sum().backward()
model.eval()
said = {"logits": model(rows).tolist()}
half = torch.nn.Sequential(model, torch.nn.Softmax(dim=1)).eval()
with torch.no_grad():
    said["proba"] = half(rows[:3]).tolist()
torch.jit.trace(half, rows, check_trace=False).save(file)
loaded = torch.jit.load(file).eval()
said["loaded"] = loaded(rows[:2]).tolist()
class Regressor(torch.nn.Module):
    def forward(self, x):
        return x.sum(dim=1, keepdim=True)
said["value"] = Regressor().eval()(rows[:5]).reshape(-1).tolist()
assert rows.requires_grad is False
print(json.dumps(said))
"""

TRANSFORMERS = """
import json, os, sys
os.chdir(sys.argv[1])
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
open("vocab.txt", "w").write("\\n".join(words))
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer, pipeline
torch.manual_seed(3)
config = BertConfig(vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                    id2label={0: "NEG", 1: "POS"}, label2id={"NEG": 0, "POS": 1})
BertForSequenceClassification(config).save_pretrained("sentiment")
BertTokenizer("vocab.txt").save_pretrained("sentiment")
ask = pipeline("text-classification", model="sentiment")
said = [ask(["good film", "bad", "film film film"]), ask("bad film")]
print(json.dumps(said))
"""


OUTERMOST = """
import json, sys
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(4, 8)
        self.rest = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(8, 3), torch.nn.Softmax(dim=1))
    def forward(self, x):
        return self.rest(self.first(x))
def make(name):
    return type(name, (Net,), {"__module__": __name__})()
x = torch.randn(20, 4)
training = make("Training")
training(x).sum().backward()
training.forward(x)
direct = make("Direct").eval()
direct.forward(x)
hooked = make("Hooked").eval()
hooked.register_forward_hook(lambda module, given, result: result * 1)
hooked(x)
unready = make("WithoutEval")
with torch.no_grad():
    torch.nn.NLLLoss()(unready(x), torch.zeros(20, dtype=torch.long))
with torch.inference_mode():
    unready(x)
stated = make("Stated")
stated.load_state_dict(direct.state_dict())
with torch.no_grad():
    stated.forward(x)
plain = make("Plain").eval()
def same(one, other):
    return bool(torch.allclose(one, other))
said = [same(torch.jit.script(plain)(x), plain(x)), same(torch.fx.symbolic_trace(plain)(x), plain(x))]
scripted = torch.jit.script(Net().eval())
said.append(isinstance(scripted.forward.code, str))
scripted.save(sys.argv[1])
loaded = torch.jit.load(sys.argv[1]).eval()
loaded.forward(x)
loaded(x)
parallel = torch.nn.DataParallel(make("Inside").eval())
parallel(x)
torch.jit.trace(make("Traced").eval(), x)
print(json.dumps(said))
"""


def test_the_outermost_module_is_the_model_however_it_is_called(agent: Path, tmp_path: Path) -> None:
    torch = torch_python()
    (tmp_path / "net.py").write_text(OUTERMOST)
    with recording() as recorded:
        env = environment(agent, recorded.url, torch.env)
        out = run(torch.python, [str(tmp_path / "net.py"), str(tmp_path / "pets.pt")], env)
    assert json.loads(out.splitlines()[-1]) == [True, True, True]
    events = recorded.predictions()
    names = [e.attributes["ml.model.name"] for e in events]
    counts = {name: names.count(name) for name in names}
    assert counts == {
        "Direct": 1,
        "Hooked": 1,
        "WithoutEval": 2,
        "Stated": 1,
        "Plain": 4,
        "pets": 2,
        "Inside": 1,
    }
    assert all(e.attributes["ml.prediction.count"] == 20 for e in events)
    assert [len(e.body["scores"]) for e in events] == [3] * len(events)


def test_torch_modules_in_evaluation_mode(agent: Path, tmp_path: Path) -> None:
    torch = torch_python()
    with recording() as recorded:
        env = environment(agent, recorded.url, {**torch.env, "SIDECAR_MODEL_CLASSES": "cat,dog"})
        out = run(torch.python, ["-c", TORCH, str(tmp_path / "pets.pt")], env)
    said = json.loads(out.splitlines()[-1])
    events = recorded.predictions()
    assert [e.body["rows"] for e in events] == [6, 3, 2, 5]
    logits, proba, loaded, value = events
    names = ["cat", "dog"]
    assert logits.body["class"] == [names[row.index(max(row))] for row in said["logits"]]
    assert proba.body["score"] == pytest.approx([max(row) for row in said["proba"]], rel=1e-5)
    assert loaded.attributes["ml.model.name"] == "pets"
    assert loaded.body["scores"]["dog"] == pytest.approx([row[1] for row in said["loaded"]], rel=1e-5)
    assert value.body["value"] == pytest.approx(said["value"])
    assert value.attributes["ml.model.name"] == "Regressor"
    assert list(value.body["features"]) == ["f0", "f1", "f2", "f3"]
    assert {e.attributes["ml.framework"] for e in events} == {"torch"}


def test_transformers_pipelines(agent: Path, tmp_path: Path) -> None:
    torch = torch_python()
    with recording() as recorded:
        more = {**torch.env, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        env = environment(agent, recorded.url, more)
        out = run(torch.python, ["-c", textwrap.dedent(TRANSFORMERS), str(tmp_path)], env)
    many, one = json.loads(out.splitlines()[-1])
    first, second = recorded.predictions()
    assert first.body["class"] == [row["label"] for row in many]
    assert first.body["score"] == pytest.approx([row["score"] for row in many])
    assert first.body["features"] == {"text_length": [9, 3, 14]}
    assert second.body["class"] == [one[0]["label"]]
    assert {e.attributes["ml.model.name"] for e in (first, second)} == {"sentiment"}
    assert recorded.loaded()[0].attributes["ml.model.load.duration"] > 0
