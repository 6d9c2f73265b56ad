// arctic: Login Kit on the web, at TikTok's own addresses; node's fetch knows no proxy, so the host is changed there.

import { createInterface } from "node:readline/promises";
import { TikTok, generateCodeVerifier, generateState } from "arctic";

const [sandbox] = process.argv.slice(2);
const direct = globalThis.fetch;
globalThis.fetch = async (request) =>
  direct(request.url.replace("https://open.tiktokapis.com", sandbox), {
    method: request.method,
    headers: request.headers,
    body: await request.text(),
  });

const failure = async (call) => call.then(() => "", (error) => `${error.code ?? error}`);

const tiktok = new TikTok(
  "sbawtokhubsandbox",
  "CNRYsandboxclientsecret",
  "http://127.0.0.1:3000/auth/tiktok/callback",
);
const verifier = generateCodeVerifier();
console.log(`${tiktok.createAuthorizationURL(generateState(), verifier, ["user.info.basic", "video.list"])}`);
const lines = createInterface({ input: process.stdin });
const [back] = await new Promise((resolve) => lines.once("line", (line) => resolve([line])));
lines.close();
const code = new URL(back).searchParams.get("code");
const first = await tiktok.validateAuthorizationCode(code, verifier);
const second = await tiktok.refreshAccessToken(first.refreshToken());
await tiktok.revokeToken(second.accessToken());
console.log(
  JSON.stringify({
    scopes: first.data.scope,
    expires: (first.accessTokenExpiresAt() - new Date()) / 1000,
    changed: first.refreshToken() !== second.refreshToken(),
    old: await failure(tiktok.refreshAccessToken(first.refreshToken())),
    code: await failure(tiktok.validateAuthorizationCode(code, verifier)),
    revoked: await failure(tiktok.refreshAccessToken(second.refreshToken())),
  }),
);
