// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TrainingMarket} from "../TrainingMarket.sol";

/// @title What the tests deploy, by its name: they import no source of the market, this file has forge compile it.
/// @dev forge skips a file without any contract when a filter is given.
interface Deployed {}
