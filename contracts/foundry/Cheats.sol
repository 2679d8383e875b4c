// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The cheatcodes of forge that these tests use, so that no library has to be vendored.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function warp(uint256 time) external;
    function roll(uint256 number) external;
    function getCode(string calldata artefact) external view returns (bytes memory);
    function readFile(string calldata path) external view returns (string memory);
    function parseJsonString(string calldata json, string calldata key) external pure returns (string memory);
    function parseBytes(string calldata text) external pure returns (bytes memory);
    function etch(address account, bytes calldata code) external;
    function deal(address account, uint256 balance) external;
    function prank(address sender, address origin) external;
    function assertEq(uint256 left, uint256 right, string calldata what) external pure;
    function assertLe(uint256 left, uint256 right, string calldata what) external pure;
    function assertTrue(bool condition, string calldata what) external pure;
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
}

/// @title What every test and every handler starts from.
abstract contract Cheats {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev Any number, folded into a range of both ends.
    function _within(uint256 any, uint256 least, uint256 most) internal pure returns (uint256) {
        return least + any % (most - least + 1);
    }

    /// @dev One more number out of a seed that served already.
    function _more(uint256 seed, uint256 which) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, which)));
    }
}
