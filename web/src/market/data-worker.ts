// The worker that reads a data set, so that the page stays quick.

import { ShoalError } from "./errors";
import { type ReadOptions, readFile } from "./reading";

export interface Question {
  readonly file: Blob;
  readonly name: string;
  readonly options: ReadOptions;
}

self.onmessage = async ({ data }: MessageEvent<Question>) => {
  try {
    const { dataset, description } = await readFile(data.file, data.name, data.options);
    self.postMessage({ dataset, description }, { transfer: [dataset.x.data.buffer, dataset.y.data.buffer] });
  } catch (error) {
    if (!(error instanceof ShoalError)) throw error; // told to the page as an error of the worker
    const { message, code, hint, money } = error;
    self.postMessage({ refused: { message, code, hint, money } });
  }
};
