#pragma once

#include "NeuralKernels.h"
#include "UpdateKernels.h"
