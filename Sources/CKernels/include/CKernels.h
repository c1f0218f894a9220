#pragma once

#include "AttentionKernels.h"
#include "BFloat16Kernels.h"
#include "DatasetKernels.h"
#include "KernelStorage.h"
#include "NeuralKernels.h"
#include "NormalizationKernels.h"
#include "SpinWait.h"
#include "UpdateKernels.h"
