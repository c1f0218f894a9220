#pragma once

#include "NeuralKernels.h"
#include "SpinWait.h"
#include "UpdateKernels.h"
