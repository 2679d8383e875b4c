// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title An account that is a contract: it can refuse money, and calls the market again while it is paid.
contract Guest {
    bool public refuses;
    bool public gotIn; // a second withdrawal inside the first succeeded
    uint256 public payments;

    function setRefuses(bool to) external {
        refuses = to;
    }

    receive() external payable {
        require(!refuses);
        payments += 1;
        (bool ok,) = msg.sender.call(abi.encodeWithSignature("withdraw()"));
        if (ok) gotIn = true;
    }
}
