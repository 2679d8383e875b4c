export default function Earn() { return null; }
