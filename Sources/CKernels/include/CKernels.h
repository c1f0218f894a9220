#pragma once

#include "BFloat16Kernels.h"
#include "NeuralKernels.h"
#include "NormalizationKernels.h"
#include "SpinWait.h"
#include "UpdateKernels.h"
