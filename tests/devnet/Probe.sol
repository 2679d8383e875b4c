// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// What the devnet's tests call. `probe.hex` holds its bytecode, made by solc 0.8 with
/// evmVersion cancun and the optimizer on (200 runs).
contract Child {
    uint256 public immutable value;

    constructor(uint256 value_) payable {
        value = value_;
    }
}

interface IPrng {
    function getPseudorandomSeed() external returns (bytes32);
}

interface IExchangeRate {
    function tinycentsToTinybars(uint256 tinycents) external returns (uint256);
    function tinybarsToTinycents(uint256 tinybars) external returns (uint256);
}

contract Probe {
    uint256 public value;
    event Deposited(address indexed from, uint256 amount);
    event Numbered(uint256 indexed number, bytes32 indexed tag);
    event Made(address child);

    error Refused(uint256 code);

    constructor(uint256 value_) payable {
        value = value_;
    }

    function deposit() external payable {
        value += msg.value;
        emit Deposited(msg.sender, msg.value);
    }

    function number(uint256 count, bytes32 tag) external {
        for (uint256 i = 0; i < count; i++) emit Numbered(i, tag);
    }

    function send(address payable to, uint256 amount) external {
        (bool ok, ) = to.call{value: amount}("");
        require(ok, "send failed");
    }

    function make(uint256 value_) external payable {
        emit Made(address(new Child{value: msg.value}(value_)));
    }

    function fail(uint256 code) external payable {
        value = 0;
        revert Refused(code);
    }

    function failText() external pure {
        revert("no such luck");
    }

    function spin() external {
        while (true) value++;
    }

    function look() external view returns (address, uint256, uint256, uint256, uint256) {
        return (msg.sender, address(this).balance, block.timestamp, block.chainid, value);
    }

    event Drawn(bytes32 seed);

    function draw() external returns (bytes32 first, bytes32 second, uint256 randao) {
        first = IPrng(address(0x169)).getPseudorandomSeed();
        (bool ok, bytes memory answer) = address(0x169).call(abi.encodeWithSignature("getPseudorandomSeed()"));
        require(ok, "no seed");
        second = abi.decode(answer, (bytes32));
        randao = block.prevrandao;
        emit Drawn(first);
    }

    function peek() external view returns (bytes32) {
        (bool ok, bytes memory answer) = address(0x169).staticcall(abi.encodeWithSignature("getPseudorandomSeed()"));
        require(ok, "no seed");
        return abi.decode(answer, (bytes32));
    }

    function convert(uint256 amount) external returns (uint256 tinybars, uint256 tinycents) {
        IExchangeRate rate = IExchangeRate(address(0x168));
        return (rate.tinycentsToTinybars(amount), rate.tinybarsToTinycents(amount));
    }

    function misuse(address system, bytes calldata data) external payable returns (bool ok) {
        (ok, ) = system.call{value: msg.value, gas: 50_000}(data);
    }
}
