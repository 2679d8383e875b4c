/** Ready models: a `model.py` made to fit the data, which only the user's own node runs, to export a graph from it. */

export type Template = "linear" | "mlp" | "cnn";

export interface Task {
  /** Shape of one row: `[features]` or `[channels, height, width]`. */
  shape: number[];
  /** Classes to tell apart; null where a number is predicted. */
  classes: number | null;
}

export interface Recipe {
  loss: string;
  metric: string;
  optimizer: { name: string; lr: number; weight_decay?: number };
  batch_size: number;
  local_steps: number;
  rounds: number;
  trainers: number;
  seed: number;
}

export const TEMPLATES: Record<Template, { name: string; text: string; fits: (task: Task) => boolean }> = {
  linear: { name: "Linear model", text: "Fast and easy to understand. A good first try on a table.", fits: (task) => task.shape.length === 1 },
  mlp: { name: "Small network", text: "Two layers; finds relations that a linear model cannot.", fits: (task) => task.shape.length === 1 },
  cnn: { name: "Image network", text: "Convolutions with BatchNorm, for small images of one size.", fits: (task) => task.shape.length === 3 },
};

/** Source of the model. Columns are brought to one scale by the first layer, since raw measurements would not train. */
export function modelSource(template: Template, { shape, classes }: Task): string {
  const outputs = classes ?? 1;
  if (template === "cnn") {
    const [channels = 1, height = 1, width = 1] = shape;
    // Each pooling halves the image; below 4 pixels there is nothing left to halve.
    const pools = Math.min(height, width) >= 16 ? 2 : Math.min(height, width) >= 4 ? 1 : 0;
    const pool = (index: number) => (index < pools ? ["nn.MaxPool2d(2)"] : []);
    const flat = 32 * Math.floor(height / 2 ** pools) * Math.floor(width / 2 ** pools);
    return source([
      `nn.Conv2d(${channels}, 16, 3, padding=1)`, "nn.BatchNorm2d(16)", "nn.ReLU()", ...pool(0),
      "nn.Conv2d(16, 32, 3, padding=1)", "nn.BatchNorm2d(32)", "nn.ReLU()", ...pool(1),
      "nn.Flatten()", "nn.Dropout(0.25)", `nn.Linear(${flat}, ${outputs})`,
    ]);
  }
  const features = shape[0] ?? 1;
  const hidden = Math.max(16, Math.min(128, 2 ** Math.ceil(Math.log2(features * 2))));
  const layers = template === "linear" ? [`nn.Linear(${features}, ${outputs})`] : [`nn.Linear(${features}, ${hidden})`, "nn.ReLU()", "nn.Dropout(0.1)", `nn.Linear(${hidden}, ${outputs})`];
  return source([`nn.BatchNorm1d(${features})`, ...layers]);
}

export function recipeFor({ classes }: Task, plan: { rounds: number; trainers: number }): Recipe {
  return {
    loss: classes === null ? "mse" : "cross_entropy",
    metric: classes === null ? "mae" : "accuracy",
    optimizer: { name: "adam", lr: 0.003, weight_decay: 0.001 },
    batch_size: 32,
    local_steps: 40,
    rounds: plan.rounds,
    trainers: plan.trainers,
    seed: 1,
  };
}

function source(layers: string[]): string {
  return `from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
${layers.map((layer) => `            ${layer},`).join("\n")}
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
`;
}
