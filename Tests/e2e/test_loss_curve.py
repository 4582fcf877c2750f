"""Training beside PyTorch: the same weights at the start, the same batches, the same losses at each of 100 steps."""
import pytest

from service import Service

np = pytest.importorskip("numpy")
STEPS, BATCH, RATE, TOLERANCE = 100, 64, 1e-3, 1e-3


def test_the_losses_are_those_of_pytorch(digits, tmp_path, record_property):
    torch = pytest.importorskip("torch", reason="PyTorch is the second opinion on training")
    save_file = pytest.importorskip("safetensors.torch").save_file
    torch.manual_seed(20260214)
    nn = torch.nn
    net = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                        nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))
    _, pixels, labels = digits.part("train")
    count = STEPS * BATCH
    images = torch.from_numpy(np.frombuffer(pixels[:784 * count], np.uint8).reshape(count, 1, 28, 28).copy())
    labels = torch.from_numpy(np.frombuffer(labels[:count], np.uint8).astype(np.int64))
    folder = tmp_path / "start"
    folder.mkdir()
    save_file(net.state_dict(), str(folder / "weights.safetensors"))
    save_file({"images": images, "labels": labels}, str(folder / "batches.safetensors"))

    opt, theirs = torch.optim.Adam(net.parameters(), lr=RATE), []
    for first in range(0, count, BATCH):
        loss = nn.functional.cross_entropy(net(images[first:first + BATCH].float() / 255), labels[first:first + BATCH])
        opt.zero_grad()
        loss.backward()
        opt.step()
        theirs.append(loss.item())

    with Service(tmp_path / "service", data_roots=[folder]) as service:
        ours = service.run("Tests/e2e/scripts/train_classic.lua", folder, batch=BATCH, lr=RATE)["losses"]
    assert len(ours) == STEPS
    apart = [abs(a - b) for a, b in zip(ours, theirs)]
    step = max(range(STEPS), key=apart.__getitem__)
    record_property("largest_difference", apart[step])
    print("largest difference %.2e at step %d; last loss %.4f, PyTorch's %.4f" % (apart[step], step + 1, ours[-1], theirs[-1]))
    assert theirs[-1] < theirs[0] / 3                   # they did learn
    assert apart[step] < TOLERANCE, "step %d: %.6f, PyTorch has %.6f" % (step + 1, ours[step], theirs[step])
