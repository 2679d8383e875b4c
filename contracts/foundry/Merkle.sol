// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Merkle trees as OpenZeppelin's MerkleProof verifies them: leaves hashed twice, pairs hashed in sorted order.
library Merkle {
    function leaf(bytes memory content) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(content)));
    }

    function root(bytes32[] memory leaves) internal pure returns (bytes32) {
        return _nodes(leaves)[0];
    }

    function proof(bytes32[] memory leaves, uint256 which) internal pure returns (bytes32[] memory path) {
        bytes32[] memory nodes = _nodes(leaves);
        uint256 depth = 0;
        for (uint256 node = leaves.length - 1 + which; node > 0; node = (node - 1) / 2) ++depth;
        path = new bytes32[](depth);
        uint256 step = 0;
        for (uint256 node = leaves.length - 1 + which; node > 0; node = (node - 1) / 2) {
            path[step++] = nodes[node % 2 == 1 ? node + 1 : node - 1];
        }
    }

    /// @dev A complete binary tree in an array: the children of node i are 2i + 1 and 2i + 2, the leaves come last.
    function _nodes(bytes32[] memory leaves) private pure returns (bytes32[] memory nodes) {
        uint256 inner = leaves.length - 1;
        nodes = new bytes32[](inner + leaves.length);
        for (uint256 i = 0; i < leaves.length; ++i) nodes[inner + i] = leaves[i];
        for (uint256 i = inner; i > 0; --i) nodes[i - 1] = _pair(nodes[2 * i - 1], nodes[2 * i]);
    }

    function _pair(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(bytes.concat(a, b)) : keccak256(bytes.concat(b, a));
    }
}
