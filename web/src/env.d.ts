/** Whether this build runs on recorded data: `npm run dev:fake`. */
declare const __FAKE__: boolean;

declare module "*.css";
