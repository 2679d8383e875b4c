import { expect, it } from "vitest";

import { csv } from "./csv";

it("quotes what needs quotes", () => {
  expect(csv(["a", "b"], [["x, y", 'say "hi"'], ["two\nlines", null]])).toBe('a,b\r\n"x, y","say ""hi"""\r\n"two\nlines",\r\n');
});

it("lets no cell become a formula, and keeps numbers as they are", () => {
  expect(csv(["a"], [["=1+1"], ["@x"], [-5]])).toBe("a\r\n'=1+1\r\n'@x\r\n-5\r\n");
});
