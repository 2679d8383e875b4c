// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title An account that is a contract: it can refuse money, and asks for more of it while it is paid.
contract Guest {
    bool public refuses;
    bool public gotIn; // a withdrawal inside a withdrawal succeeded
    uint256 public payments;
    bool private _inside;

    function setRefuses(bool to) external {
        refuses = to;
    }

    /// @dev Enters once: by entering again and again it would run out of gas, and be refused for that.
    receive() external payable {
        require(!refuses);
        payments += 1;
        if (_inside) return;
        _inside = true;
        (bool ok,) = msg.sender.call(abi.encodeWithSignature("withdraw()"));
        if (ok) gotIn = true;
        _inside = false;
    }
}
