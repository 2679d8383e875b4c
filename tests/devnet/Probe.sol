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
}
